"""Pictures drawn from a description: place, light, weather, colour and crowd, from which mood and energy follow.

A tiny vision encoder can learn what music cares about (bright or dark, calm or busy, merry or bleak) without a photo
collection. Every picture is a pure function of its `Scene`, which includes the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

PLACES = ("sea", "mountain", "forest", "meadow", "desert", "city", "party", "fire", "pattern")
LIGHTS = ("day", "sunset", "night")
WEATHERS = ("clear", "rain", "fog", "snow")
MOODS = ("happy", "calm", "sad", "tense")
ENERGIES = ("low", "middle", "high")
OUTDOORS = PLACES[:6]

# How lively a place is before anybody comes to it; the crowd adds the rest.
_STIR = {"sea": 0.1, "mountain": 0.1, "forest": 0.15, "meadow": 0.15, "desert": 0.05, "city": 0.35, "party": 0.7, "fire": 0.65}
_SKY = {  # top and horizon colours of the sky
    "day": ((70, 130, 215), (190, 220, 245)),
    "sunset": ((80, 60, 120), (250, 150, 70)),
    "night": ((6, 8, 28), (28, 32, 66)),
}
_GROUND = {
    "sea": (30, 90, 150), "mountain": (105, 100, 95), "forest": (40, 85, 40), "meadow": (100, 165, 60),
    "desert": (215, 180, 115), "city": (105, 105, 112), "party": (45, 25, 55), "fire": (40, 28, 22),
}
_SHADE = {"day": 1.0, "sunset": 0.62, "night": 0.22}


@dataclass(frozen=True)
class Scene:
    """Description of a picture. `colour` and `crowd` are in 0..1; a "pattern" has only these and light."""

    place: str
    light: str
    weather: str
    colour: float
    crowd: float
    seed: int

    @property
    def stir(self) -> float:
        """Amount of activity, 0 to 1."""
        if self.place == "pattern":
            return self.crowd
        storm = 0.15 if self.weather == "rain" and self.crowd > 0.5 else 0.0
        return min(1.0, _STIR[self.place] + 0.6 * self.crowd + storm)

    @property
    def warmth(self) -> float:
        """Valence, about -1 to 1: light and colour raise it, bad weather and fire lower it."""
        value = {"day": 0.35, "sunset": 0.15, "night": -0.25}[self.light] + 0.9 * (self.colour - 0.5)
        value -= {"clear": 0.0, "rain": 0.5, "fog": 0.35, "snow": 0.1}[self.weather]
        return value + {"party": 0.5, "fire": -0.6}.get(self.place, 0.0)

    @property
    def energy(self) -> str:
        return ENERGIES[int(self.stir > 0.33) + int(self.stir > 0.62)]

    @property
    def mood(self) -> str:
        lively = self.stir > 0.45
        if self.warmth > 0:
            return "happy" if lively else "calm"
        return "tense" if lively else "sad"

    def labels(self) -> dict[str, str]:
        return {"place": self.place, "light": self.light, "weather": self.weather, "mood": self.mood, "energy": self.energy}

    @property
    def clear_cut(self) -> bool:
        """Whether mood and energy are unambiguous: not near a border between two labels."""
        return abs(self.warmth) > 0.1 and min(abs(self.stir - edge) for edge in (0.33, 0.45, 0.62)) > 0.03


def random_scene(rng: np.random.Generator) -> Scene:
    """A random scene with unambiguous labels."""
    while not (scene := _any_scene(rng)).clear_cut:
        pass
    return scene


def _any_scene(rng: np.random.Generator) -> Scene:
    place = str(rng.choice(PLACES, p=[0.12, 0.12, 0.1, 0.1, 0.08, 0.14, 0.1, 0.08, 0.16]))
    light = str(rng.choice(LIGHTS)) if place not in ("party", "fire") else str(rng.choice(LIGHTS, p=[0.15, 0.15, 0.7]))
    weather = str(rng.choice(WEATHERS, p=[0.55, 0.17, 0.14, 0.14])) if place in OUTDOORS else "clear"
    crowd = float(rng.uniform(0, 1) ** (1.0 if place in ("city", "party", "pattern") else 1.5))
    colour = float(rng.uniform(0.55 if place in ("party", "fire") else 0.0, 1))
    return Scene(place, light, weather, colour, crowd, int(rng.integers(2**31)))


def draw(scene: Scene, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """The picture, RGB, `size` = (width, height)."""
    rng = np.random.default_rng(scene.seed)
    image = _pattern(scene, size, rng) if scene.place == "pattern" else _landscape(scene, size, rng)
    return _photograph(image, scene, rng)


def _landscape(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    horizon = int(size[1] * rng.uniform(0.35, 0.7))
    image = _sky(scene, size, horizon, rng)
    pen = ImageDraw.Draw(image)
    _lights(scene, pen, size, horizon, rng)
    _ground(scene, pen, size, horizon, rng)
    {"sea": _sea, "mountain": _mountain, "forest": _trees, "meadow": _flowers, "desert": _dunes, "city": _city,
     "party": _party, "fire": _fire}[scene.place](scene, pen, size, horizon, rng)
    _people(scene, pen, size, horizon, rng)
    return _weather(scene, image, rng)


def _tint(colour: tuple[int, int, int], scene: Scene, rng: np.random.Generator, spread: float = 14) -> tuple[int, int, int]:
    shade = _SHADE[scene.light]
    warm = np.array([1.25, 0.95, 0.75]) if scene.light == "sunset" else np.array([0.9, 0.95, 1.25]) if scene.light == "night" else 1.0
    values = (np.asarray(colour) + rng.normal(0, spread, 3)) * shade * warm
    return tuple(int(v) for v in np.clip(values, 0, 255))  # type: ignore[return-value]


def _sky(scene: Scene, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> Image.Image:
    top, low = (np.array(c, float) + rng.normal(0, 16, 3) for c in _SKY[scene.light])
    if scene.weather != "clear":
        grey = {"day": 175.0, "sunset": 120.0, "night": 26.0}[scene.light]
        top, low = 0.25 * top + 0.75 * grey * 0.85, 0.3 * low + 0.7 * grey
    ramp = np.clip(np.arange(size[1]) / max(horizon, 1), 0, 1)[:, None, None]
    sky = (1 - ramp) * top + ramp * low
    sky = np.repeat(sky, size[0], axis=1)
    if rng.random() < 0.6:  # clouds: smooth noise blown up
        noise = rng.random((4, 5)).astype(np.float32)
        cloud = np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC))
        sky = sky + np.clip(cloud - 0.55, 0, 1)[..., None] * 230 * _SHADE[scene.light]
    return Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))


def _lights(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    if scene.weather != "clear":
        return
    x, y, radius = rng.uniform(0, size[0]), rng.uniform(0, horizon), size[1] * rng.uniform(0.03, 0.09)
    if scene.light == "night":
        for _ in range(int(rng.integers(5, 40))):
            px, py = rng.uniform(0, size[0]), rng.uniform(0, horizon)
            pen.point((px, py), fill=(220, 220, 235))
    if rng.random() < 0.6:
        y = horizon - radius * rng.uniform(-0.3, 2) if scene.light == "sunset" else y
        fill = {"day": (255, 250, 215), "sunset": (255, 205, 110), "night": (235, 235, 215)}[scene.light]
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _ridge(width: int, base: float, height: float, rough: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    steps = np.cumsum(rng.normal(0, rough, 33))
    steps = (steps - np.linspace(steps[0], steps[-1], 33)) / max(float(np.abs(steps).max()), 1e-6)
    return [(width * i / 32, base - height * abs(float(s))) for i, s in enumerate(steps)]


def _ground(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    colour = (225, 230, 238) if scene.weather == "snow" and scene.place != "sea" else _GROUND[scene.place]
    for step in range(6):  # nearer ground a little darker
        y = horizon + (size[1] - horizon) * step / 6
        shade = 1 - 0.05 * step
        pen.rectangle((0, y, size[0], size[1]), fill=_tint(tuple(int(c * shade) for c in colour), scene, rng, 6))  # type: ignore[arg-type]


def _sea(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    for _ in range(int(8 + 50 * scene.crowd)):
        x, y, length = rng.uniform(0, size[0]), rng.uniform(horizon, size[1]), rng.uniform(2, size[0] / 5)
        tall = 1 + 4 * scene.crowd * rng.random()
        pen.arc((x, y, x + length, y + tall + 1), 180, 360, fill=_tint((200, 215, 230), scene, rng))
    if rng.random() < 0.35:
        x = rng.uniform(0, size[0])
        pen.polygon([(x, horizon + 2), (x + 7, horizon + 2), (x + 3, horizon - 9)], fill=_tint((240, 235, 225), scene, rng))


def _mountain(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    for layer in range(int(rng.integers(1, 4))):
        ridge = _ridge(size[0], horizon + 4 * layer, horizon * rng.uniform(0.3, 0.85) / (layer + 1), 1.0, rng)
        colour = (90 + 15 * layer, 100 + 10 * layer, 120 - 12 * layer)
        pen.polygon([(0, size[1]), *ridge, (size[0], size[1])], fill=_tint(colour, scene, rng))
        if layer == 0 and rng.random() < 0.6:
            peak = min(ridge, key=lambda point: point[1])
            pen.polygon([peak, (peak[0] - 6, peak[1] + 9), (peak[0] + 6, peak[1] + 9)], fill=_tint((235, 238, 245), scene, rng))


def _trees(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    autumn = rng.random() < 0.25
    for _ in range(int(rng.integers(10, 35))):
        x, foot = rng.uniform(0, size[0]), rng.uniform(horizon, size[1])
        tall = size[1] * rng.uniform(0.2, 0.55) * (0.5 + (foot - horizon) / size[1])
        green = (190, 110, 35) if autumn else (35, 95 + int(40 * scene.colour), 40)
        pen.rectangle((x - 1, foot - tall * 0.4, x + 1, foot), fill=_tint((85, 60, 40), scene, rng))
        crown = (x - tall * 0.25, foot - tall, x + tall * 0.25, foot - tall * 0.2)
        if rng.random() < 0.5:
            pen.polygon([(crown[0], crown[3]), (x, crown[1]), (crown[2], crown[3])], fill=_tint(green, scene, rng, 18))  # type: ignore[arg-type]
        else:
            pen.ellipse(crown, fill=_tint(green, scene, rng, 18))  # type: ignore[arg-type]


def _flowers(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    pen.polygon([(0, size[1]), *_ridge(size[0], horizon + 3, horizon * 0.2, 0.6, rng), (size[0], size[1])],
                fill=_tint(_GROUND["meadow"], scene, rng))
    for _ in range(int(60 * scene.colour)):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(horizon + 3, size[1]), rng.uniform(0.5, 2.2)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=_tint(_vivid(rng), scene, rng))


def _dunes(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    for layer in range(3):
        base = horizon + (size[1] - horizon) * layer / 3
        shade = tuple(int(c * (1 - 0.12 * layer)) for c in _GROUND["desert"])
        pen.polygon([(0, size[1]), *_ridge(size[0], base, size[1] * 0.12, 0.3, rng), (size[0], size[1])], fill=_tint(shade, scene, rng))  # type: ignore[arg-type]


def _city(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    x = 0.0
    while x < size[0]:
        wide, tall = size[0] * rng.uniform(0.06, 0.17), horizon * rng.uniform(0.3, 0.98)
        body = _tint(tuple(int(v) for v in rng.uniform(80, 190, 3)), scene, rng)  # type: ignore[arg-type]
        pen.rectangle((x, horizon - tall, x + wide, size[1] * 0.95), fill=body)
        lit = (255, 220, 130) if scene.light != "day" else _tint((70, 90, 120), scene, rng)
        for wx in np.arange(x + 2, x + wide - 2, 4):
            for wy in np.arange(horizon - tall + 3, horizon, 5):
                if rng.random() < 0.25 + 0.5 * scene.crowd:
                    pen.rectangle((wx, wy, wx + 1, wy + 2), fill=lit)
        x += wide
    for _ in range(int(22 * scene.crowd)):  # traffic
        cx, cy = rng.uniform(0, size[0]), rng.uniform(horizon + 4, size[1])
        paint = (255, 90, 60) if scene.light == "night" else _tint(_vivid(rng), scene, rng)
        pen.rectangle((cx, cy, cx + rng.uniform(4, 9), cy + rng.uniform(2, 4)), fill=paint)


def _party(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(2, 7))):  # beams
        x, foot = rng.uniform(0, size[0]), rng.uniform(0, size[0])
        pen.polygon([(x, 0), (foot - 8, size[1]), (foot + 8, size[1])], fill=tuple(int(c * 0.75) for c in _vivid(rng)))  # type: ignore[arg-type]
    for _ in range(int(40 + 120 * scene.crowd)):  # confetti and lamps
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0.5, 2.5)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=_vivid(rng))


def _fire(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    pen.rectangle((0, 0, size[0], horizon), fill=(30, 18, 16))
    for heat, colour in ((1.0, (190, 40, 10)), (0.7, (245, 120, 20)), (0.4, (255, 220, 90))):
        for _ in range(int(6 + 14 * scene.crowd)):
            x, wide = rng.uniform(0.05, 0.95) * size[0], size[0] * rng.uniform(0.05, 0.14) * heat
            tall = size[1] * rng.uniform(0.25, 0.85) * heat
            pen.polygon([(x - wide, size[1]), (x + rng.normal(0, wide), size[1] - tall), (x + wide, size[1])], fill=colour)


def _people(scene: Scene, pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, rng: np.random.Generator) -> None:
    if scene.place == "fire":
        return
    for _ in range(int(45 * max(0.0, scene.crowd - 0.2))):
        x, y = rng.uniform(0, size[0]), rng.uniform(horizon + 4, size[1])
        tall = 3 + 9 * (y - horizon) / max(size[1] - horizon, 1)
        pen.rectangle((x, y - tall, x + tall * 0.35, y), fill=_tint(_vivid(rng) if rng.random() < scene.colour else (60, 60, 65), scene, rng))
        pen.ellipse((x, y - tall * 1.35, x + tall * 0.35, y - tall), fill=_tint((205, 165, 135), scene, rng))


def _weather(scene: Scene, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pen, (wide, tall) = ImageDraw.Draw(image), image.size
    if scene.weather == "rain":
        slant = rng.uniform(-4, 4)
        for _ in range(int(rng.integers(60, 160))):
            x, y, length = rng.uniform(0, wide), rng.uniform(0, tall), rng.uniform(4, 10)
            pen.line((x, y, x + slant, y + length), fill=_tint((200, 210, 225), scene, rng))
    if scene.weather == "snow":
        for _ in range(int(rng.integers(60, 180))):
            x, y, r = rng.uniform(0, wide), rng.uniform(0, tall), rng.uniform(0.4, 1.5)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(235, 240, 248))
    if scene.weather == "fog":
        grey = int({"day": 200, "sunset": 150, "night": 45}[scene.light] + rng.normal(0, 10))
        image = Image.blend(image.filter(ImageFilter.GaussianBlur(1.2)), Image.new("RGB", image.size, (grey,) * 3), rng.uniform(0.5, 0.8))
    return image


def _pattern(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """No place at all: smooth or busy noise with a few shapes, so that light, colour and detail are learned by themselves."""
    cells = int(3 + 29 * scene.crowd)
    noise = Image.fromarray((rng.random((cells, cells, 3)) * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    level = {"day": (150, 225), "sunset": (80, 140), "night": (12, 55)}[scene.light]
    base = Image.new("RGB", size, tuple(int(v) for v in rng.uniform(*level, 3)))
    image = Image.blend(base, noise.point(lambda v: int(v * level[1] / 255)), 0.25 + 0.5 * scene.crowd)
    pen = ImageDraw.Draw(image)
    for _ in range(int(1 + 30 * scene.crowd)):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), size[0] * rng.uniform(0.02, 0.25 - 0.15 * scene.crowd)
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x - r, y - r, x + r, y + r), fill=tuple(int(c * level[1] / 255) for c in _vivid(rng)))
    return image


def _vivid(rng: np.random.Generator) -> tuple[int, int, int]:
    channels = [int(rng.uniform(200, 256)), int(rng.uniform(40, 220)), int(rng.uniform(10, 90))]
    rng.shuffle(channels)
    return channels[0], channels[1], channels[2]


def _photograph(image: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    """What a camera adds: saturation as asked, a little blur, exposure, grain, mirror image."""
    pixels = np.asarray(image, np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * (0.15 + 1.15 * scene.colour)
    pixels = pixels * rng.uniform(0.85, 1.15) + rng.normal(0, rng.uniform(0, 9), pixels.shape)
    result = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        result = result.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.0))))
    return result.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else result
