"""What the notebook MUImage shows: pictures with their music, and whether the two belong to each other."""

from __future__ import annotations

import statistics
from collections import defaultdict

from DataSet.pipeline.agreement import AGREEMENT_COLUMNS, agreement_row
from DataSet.pipeline.figures import grouped_points, onset_strength, wave_and_mel
from DataSet.pipeline.media_cards import Card, Figure, Gallery, sound_player, thumbnail
from DataSet.pipeline.notebook_tables import MarkdownView, table_view
from DataSet.pipeline.set_result import SetResult
from DataSet.pipeline.stated_scenes import MODE_OF_MOOD, SCENE_FACTS, parse_scene
from DataSet.pipeline.step import StepInput
from DataSet.synthesis.scenes import MOODS
from DataSet.synthesis.stated_attributes import parse_answer
from llama.evaluation.tables import Measurement, Row, Table
from llama.media.audio import Waveform

PLAYER_SECONDS = 4.0
MUSIC_FACTS = ("lead", "style", "tempo", "mode", "metre", "key")


def contact_sheet(result: SetResult, count: int = 6) -> Gallery:
    """The first pictures by their ids, with caption, instruction, the music's caption, its mel spectrogram and a player."""
    cards = []
    for entry in sorted(result.entries(), key=lambda entry: entry.item.id)[:count]:
        wave = Waveform.read(result.media(entry, "audio"))
        lines = [
            f"Picture: {vision_caption(entry)}", f"Music: {music_caption(entry)}", f"Human: {entry.results['instruction']['human']}",
        ]  # fmt: skip
        pictures = [thumbnail(result.media(entry, "image")), wave_and_mel(wave)]
        cards.append(Card(entry.item.key, pictures, lines, [sound_player(wave, PLAYER_SECONDS)]))
    return Gallery(cards)


def mood_and_energy(result: SetResult) -> Figure:
    """The energy of the music, as the mean rise of its mel spectrogram, by the mood that the picture's caption states."""
    groups: dict[str, list[float]] = {mood: [] for mood in MOODS}
    for entry in result.entries():
        if mood := parse_scene("mood", vision_caption(entry)):
            groups[mood].append(float(onset_strength(Waveform.read(result.media(entry, "audio"))).mean()))
    return Figure(grouped_points(groups, "energy of the music\n(mean onset strength, dB)"))


def pairing(result: SetResult) -> MarkdownView:
    """Whether the mood that a picture's caption states goes with the mode that its music's caption states, beside shuffled pairs."""
    entries = list(result.entries())
    moods = [parse_scene("mood", vision_caption(entry)) for entry in entries]
    wanted = [MODE_OF_MOOD.get(mood) if mood else None for mood in moods]
    stated = [parse_answer("mode", music_caption(entry)) for entry in entries]
    rows = [agreement_row("all pairs", wanted, stated)]
    sources = defaultdict(list)
    for place, entry in enumerate(entries):
        sources[entry.item.source].append(place)
    for source, places in sorted(sources.items()):
        if len(places) > 1:
            rows.append(agreement_row(source, [wanted[place] for place in places], [stated[place] for place in places]))
    notes = (
        "Agrees: a happy or calm picture with music in major, a sad or tense one with music in minor, both as captions state them. "
        "Shuffled: each picture beside the music of every other one.",
    )  # fmt: skip
    return table_view(Table("Pairing of pictures and music", AGREEMENT_COLUMNS, tuple(rows), notes))


def caption_kinds(result: SetResult) -> MarkdownView:
    """How long captions are, and what they name."""
    entries = list(result.entries())
    kinds = {"picture": [vision_caption(entry) for entry in entries], "music": [music_caption(entry) for entry in entries]}
    rows = []
    for kind, texts in kinds.items():
        facts, parse = (SCENE_FACTS[:-1], parse_scene) if kind == "picture" else (MUSIC_FACTS, parse_answer)
        lengths = [len(text.split()) for text in texts]
        cells = {
            "captions": str(len(texts)), "different": str(len(set(texts))),
            "words, median": Measurement(statistics.median(lengths), len(lengths), digits=0) if lengths else None,
            "name": ", ".join(f"{fact} {sum(parse(fact, text) is not None for text in texts)}" for fact in facts),
        }  # fmt: skip
        rows.append(Row(kind, cells))
    return table_view(Table("Captions", ("captions", "different", "words, median", "name"), tuple(rows)))


def vision_caption(entry: StepInput) -> str:
    return str(entry.results["vision_caption"]["text"])


def music_caption(entry: StepInput) -> str:
    return str(entry.results["music_caption"]["text"])
