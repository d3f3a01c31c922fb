"""Components of the embedded music decoder: tokenizer, networks with structured initial embeddings, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    MusicgenDecoderConfig,
    MusicgenForCausalLM,
    MusicgenForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from DataSet.synthesis.captions import caption_and_mentions
from DataSet.synthesis.composer import sample_attributes
from DataSet.synthesis.wishes import full_caption
from llama.decoders.notes.tokens import CODEBOOK_SIZE, CODEBOOKS
from llama.files import atomic_folder
from llama.media.score import ACCOMPANIMENTS, KEYS, LEADS, STYLES, TEMPI, Attributes

CONDITION_TOKENS = 32
REGISTERS = ("<r0>", "<r1>", "<r2>", "<r3>")  # positions that summarise a caption whatever its words
SPECIALS = ("<pad>", "</s>", "<unk>", *REGISTERS)
WIDTH = 192
KEY_WEIGHT = 0.6  # of the key in the reader's loss
MAX_WORDS_BEFORE_KEY = 17  # words of a caption that still leave room for a key in the condition
KEY_FORMS = (
    "in {key} {mode}", "in {key} {mode}", "in {key} {mode}", "in the key of {key} {mode}", "in the key of {key}", "in {key}", "key: {key} {mode}",
    "key of {key} {mode}", "key {key}", "{key} {mode}", "written in {key} {mode}", "the key is {key} {mode}", "set in {key}",
)
SHARP_OF = {1: "C", 3: "D", 6: "F", 8: "G", 10: "A"}  # black keys by the letter below and above
FLAT_OF = {1: "D", 3: "E", 6: "G", 8: "A", 10: "B"}


def key_name(rng: np.random.Generator, key: int) -> str:
    """A key as people write it: "E flat", "Eb", "D sharp", "D#"; one in two as our own captions have it."""
    if rng.random() < 0.5 or key not in FLAT_OF:
        return KEYS[key]
    flat, sharp = FLAT_OF[key], SHARP_OF[key]
    names = (f"{flat} flat", f"{flat}-flat", f"{flat}b", f"{sharp} sharp", f"{sharp}-sharp", f"{sharp}#")
    return names[int(rng.integers(len(names)))]


def music_caption(rng: np.random.Generator, attributes: Attributes) -> tuple[str, bool]:
    """A caption of a piece, and whether it names the key: two in three do, in many wordings."""
    if rng.random() < 0.4:  # the form in which the language model words its answers
        keyed = bool(rng.random() < 0.6)
        return full_caption(attributes, keyed), keyed
    text, mentions = caption_and_mentions(rng, attributes)
    if "key" in mentions or rng.random() > 0.6 or len(text.split()) > MAX_WORDS_BEFORE_KEY:
        return text, "key" in mentions
    said = KEY_FORMS[int(rng.integers(len(KEY_FORMS)))].format(key=key_name(rng, attributes.key), mode=attributes.mode)
    if rng.random() < 0.3:
        return f"{said}{(': ', ', ', ' ')[int(rng.integers(3))]}{text}", True
    return f"{text.rstrip('.')}{(', ', ' ', '. ')[int(rng.integers(3))]}{said}", True


def sample_contrasting(rng: np.random.Generator) -> Attributes:
    """Random attributes; in half of them lead and accompaniment are both instruments of either role ("guitar over organ
    chords"), so that only the position in the caption tells them apart."""
    attributes, either = sample_attributes(rng), rng.random() < 0.5
    shared = LEADS.keys() & ACCOMPANIMENTS.keys()
    while either and not (attributes.lead in shared and attributes.accompaniment in shared and attributes.lead != attributes.accompaniment):
        attributes = sample_attributes(rng)
    return attributes


def metres_as_words() -> list[normalizers.Normalizer]:
    """"3/4" is one word: as three, it was read as 4/4 in one case of six."""
    return [normalizers.Replace(Regex(rf"\b{beats}\s*/\s*4\b"), word) for beats, word in ((3, "threefour"), (4, "fourfour"))]


def roles_as_words() -> list[normalizers.Normalizer]:
    """"over organ chords" is one word: the small encoder cannot tell lead from accompaniment where both have the same name."""
    before, manner = "over|backed by|accompanied by|on top of", "soft|electric|hammond|acoustic|strummed|steel"
    shared = sorted(LEADS.keys() & ACCOMPANIMENTS.keys())
    return [normalizers.Replace(Regex(rf"\b(?:{before}) (?:(?:an?|the) )?(?:(?:{manner}) )?{name}(?: chords)?\b"), f"over{name}") for name in shared]


def keys_as_words() -> list[normalizers.Normalizer]:
    """Rules that make one word of a key, the same for all its spellings: "Eb", "d sharp" -> "eflat", "f" -> "fkey".

    A letter alone has to become a word, because unknown words are split into letters: the f of "first" must not be read as the key F.
    """
    rules: list[normalizers.Normalizer] = []
    for key, flat in FLAT_OF.items():
        spellings = []
        for letter, marks in ((flat.lower(), ("[ -]?flat", "b", "♭")), (SHARP_OF[key].lower(), ("[ -]?sharp", "#", "♯"))):
            # "a sharp" and "a flat" may be an article and an adjective: only before what follows a key.
            ends = r"(?=\s+(?:major|minor|maj|min)\b|\s*[,.;:!?]|\s*$)" if letter == "a" else ""
            spellings += [rf"\b{letter}{mark}{ends if 'flat' in mark or 'sharp' in mark else ''}" + (r"\b" if mark[-1].isalpha() and not ends else "") for mark in marks]
        rules.append(normalizers.Replace(Regex("|".join(spellings)), KEYS[key].lower().replace(" ", "")))
    for letter in "abcdefg":
        after = r"(?=\s+(?:major|minor|maj|min)\b(?!\s+(?:key|mode|scale|tonality))|\s*[,.;:!?]|\s*$)" if letter == "a" else r"(?![\w'-])"
        rules.append(normalizers.Replace(Regex(rf"(?<![\w'-]){letter}{after}"), f"{letter}key"))
    return rules


def train_tokenizer(seed: int = 11, captions: int = 20_000, vocabulary: int = 900) -> PreTrainedTokenizerFast:
    """A lower-casing BPE tokenizer learnt from captions; every text begins with the registers and ends with `</s>`."""
    rng = np.random.default_rng(seed)
    texts = [music_caption(rng, sample_attributes(rng))[0] for _ in range(captions)] + [str(n) for n in range(201)] * 20
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), *metres_as_words(), *roles_as_words(), *keys_as_words()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    alphabet = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = {token: tokenizer.token_to_id(token) for token in SPECIALS}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([*REGISTERS, "$A", "</s>"]), special_tokens=[(token, ids[token]) for token in (*REGISTERS, "</s>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=CONDITION_TOKENS
    )


def tokenize(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask [B, CONDITION_TOKENS]."""
    batch = tokenizer(texts, padding="max_length", truncation=True, max_length=CONDITION_TOKENS, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def build(vocabulary: int, layers: int = 5, width: int = WIDTH) -> tuple[MusicgenForCausalLM, T5EncoderModel]:
    """A language model of note codes and the text encoder that conditions it."""
    decoder = MusicgenForCausalLM(
        MusicgenDecoderConfig(
            vocab_size=CODEBOOK_SIZE, num_hidden_layers=layers, ffn_dim=4 * width, num_attention_heads=6, hidden_size=width,
            num_codebooks=len(CODEBOOKS), max_position_embeddings=1024, layerdrop=0.0, dropout=0.0, initializer_factor=0.05,
            pad_token_id=CODEBOOK_SIZE, bos_token_id=CODEBOOK_SIZE, eos_token_id=None, audio_channels=1,
        )
    )
    text = T5EncoderModel(
        T5Config(
            vocab_size=vocabulary, d_model=width, d_kv=32, d_ff=2 * width, num_layers=3, num_heads=6, dropout_rate=0.0,
            feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1,
        )
    )
    _init_from_code_features(decoder)
    return decoder, text


def _digits(sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """[CODEBOOK_SIZE, features] one-hot digits of a mixed-radix code, least significant digit last."""
    codes, columns = np.arange(CODEBOOK_SIZE), []
    for size in reversed(sizes):
        columns.append(np.eye(size, dtype=np.float32)[codes % size])
        codes = codes // size
    return np.concatenate(columns, 1)


def _smooth(values: NDArray[np.floating], centres: int, width: float) -> NDArray[np.float32]:
    """Gaussian features of values on a line, so that near values have near features."""
    middle = np.linspace(values.min(), values.max(), centres)
    return np.exp(-(((values[:, None] - middle) / width) ** 2)).astype(np.float32)


class AttributeHeads(torch.nn.Module):
    """Auxiliary heads for training: predict each attribute from the register states, which speeds up their learning.

    Targets are header codes taken apart; tempo is a soft choice among bumps along the tempo line.
    """

    bumps: Tensor  # [tempi, 20]
    SIZES = (20, 4, len(LEADS), len(ACCOMPANIMENTS), len(STYLES) * 2, 12)  # tempo, metre x mode, voices, style x drums, key

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.out = torch.nn.Linear(len(REGISTERS) * width, sum(self.SIZES))
        self.register_buffer("bumps", torch.from_numpy(_smooth(np.arange(len(TEMPI)) * 1.0, 20, 3.0)))

    def forward(self, states: Tensor, headers: Tensor, keyed: Tensor) -> Tensor:
        """States [N, tokens, width], headers [N, 3], keyed [N] bool: captions that name the key -> weighed sum of cross entropies."""
        parts = self.out(states[:, : len(REGISTERS)].flatten(1)).split(self.SIZES, 1)
        tempo, voices, style = headers.unbind(1)
        bumps = self.bumps[tempo // 4]
        targets = [bumps / bumps.sum(1, keepdim=True), tempo % 4, voices // len(ACCOMPANIMENTS), voices % len(ACCOMPANIMENTS), style // 12]
        losses = [torch.nn.functional.cross_entropy(part, target) for part, target in zip(parts, targets, strict=False)]
        key = torch.nn.functional.cross_entropy(parts[-1], style % 12, reduction="none")
        return torch.stack(losses).mean() + KEY_WEIGHT * (key * keyed).sum() / len(keyed)

    def keys(self, states: Tensor) -> Tensor:
        """[N] the key read from the states."""
        return self.out(states[:, : len(REGISTERS)].flatten(1))[:, -self.SIZES[-1] :].argmax(1)


@torch.no_grad()
def init_number_embeddings(text: T5EncoderModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Start the embeddings of number tokens along a line: 92 lies between 90 and 94 before any training."""
    generator = torch.Generator().manual_seed(6)
    weight = text.get_input_embeddings().weight
    numbers = [(int(token), index) for token, index in tokenizer.get_vocab().items() if token.isdigit() and int(token) <= 200]
    values = np.array([number for number, _ in numbers], np.float64)
    bumps = torch.from_numpy(_smooth(values, 48, 5.0))
    rows = bumps @ torch.randn(48, weight.shape[1], generator=generator)
    weight[[index for _, index in numbers]] = rows / rows.std() * weight.std()


def code_features(book: str) -> NDArray[np.float32]:
    """[CODEBOOK_SIZE, features] meaning of the codes of this book, so that similar codes get similar initial embeddings."""
    codes = np.arange(CODEBOOK_SIZE)
    one = np.eye(CODEBOOK_SIZE, dtype=np.float32)
    if book == "tempo":
        return np.concatenate([_smooth(codes // 4 * 1.0, 20, 3.0), 2 * _digits((2, 2))], 1)
    if book == "voices":
        return _digits((52, 5))
    if book == "style":
        return _digits((11, 2, 12))
    if book == "clock":
        return np.concatenate([one[:, :11], np.eye(2, dtype=np.float32)[codes % 2]], 1)
    if book == "form":
        return np.roll(_digits((8, 4, 2, 2)), 1, 0)
    if book == "chord":
        return np.roll(_digits((12, 6)), 1, 0)
    if book == "drums":
        return (codes[:, None] >> np.arange(8) & 1).astype(np.float32)
    kind = np.where(codes < 3, codes, 3)
    event = np.maximum(codes - 3, 0)
    shared = [np.eye(4, dtype=np.float32)[kind] * 2]
    if book == "lead":
        degree = event // 4
        shared += [_smooth(degree * 1.0, 24, 2.0), np.eye(7, dtype=np.float32)[degree % 7], _digits_of(event, (2, 2))]
    elif book == "bass":
        shared += [one[event // 2][:, :40], _digits_of(event, (2,))]
    else:
        shared += [((event // 2 + 1)[:, None] >> np.arange(4) & 1).astype(np.float32), _digits_of(event, (2,))]
    return np.concatenate(shared, 1)


def _digits_of(codes: NDArray[np.int64], sizes: tuple[int, ...]) -> NDArray[np.float32]:
    return _digits(sizes)[codes % CODEBOOK_SIZE]


@torch.no_grad()
def _init_from_code_features(decoder: MusicgenForCausalLM) -> None:
    """Embeddings from code features, heads a tenth of them: with the default start the loss stays at the unigram level for many steps."""
    generator = torch.Generator().manual_seed(5)
    for index, book in enumerate(CODEBOOKS):
        features = torch.from_numpy(code_features(book))
        table = features @ torch.randn(features.shape[1], decoder.config.hidden_size, generator=generator)
        table = table / table.std() + 0.2 * torch.randn(table.shape, generator=generator)
        weight = decoder.model.decoder.embed_tokens[index].weight
        weight[:CODEBOOK_SIZE] = table / len(CODEBOOKS) ** 0.5
        weight[CODEBOOK_SIZE] = torch.randn(decoder.config.hidden_size, generator=generator) / len(CODEBOOKS) ** 0.5
        decoder.lm_heads[index].weight.copy_(0.1 * weight[:CODEBOOK_SIZE])


def export(
    folder: Path, decoder: MusicgenForCausalLM, text: T5EncoderModel, tokenizer: PreTrainedTokenizerFast, codec_folder: Path
) -> None:
    """Write a stock MusicGen folder in half precision; an older one at the same place is replaced at once."""
    from llama.decoders.notes import codec as note_codec

    note_codec.register()
    codec = note_codec.NoteCodecModel.from_pretrained(codec_folder)
    codec.config._name_or_path = ""  # no path of the building machine
    model = MusicgenForConditionalGeneration(text_encoder=text, audio_encoder=codec, decoder=decoder)
    model.set_attn_implementation("sdpa")  # without it the text encoder of an assembled model ignores its padding mask
    model.config.condition_tokens = CONDITION_TOKENS
    model.config.window_seconds = 150.0  # a step is an eighth: far more music fits the positions than in a neural codec
    settings = model.generation_config
    settings.decoder_start_token_id = settings.pad_token_id = settings.bos_token_id = CODEBOOK_SIZE
    settings.eos_token_id = None
    settings.do_sample, settings.guidance_scale, settings.top_k, settings.temperature = True, 1.5, 60, 1.0
    with atomic_folder(folder) as draft:
        model.half().save_pretrained(draft)
        tokenizer.save_pretrained(draft)
