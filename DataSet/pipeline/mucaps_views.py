"""What the notebook MUCaps shows: pieces with their captions, the spread of the set, and whether captions belong to their recordings."""

from __future__ import annotations

from collections import Counter

from DataSet.pipeline.agreement import AGREEMENT_COLUMNS, agreement_row, tempo_class
from DataSet.pipeline.figures import histograms, wave_and_mel
from DataSet.pipeline.media_cards import Card, Figure, Gallery, sound_player
from DataSet.pipeline.notebook_tables import MarkdownView, label, table_view
from DataSet.pipeline.published_rule import published_rule
from DataSet.pipeline.set_result import SetResult
from DataSet.pipeline.step import Rejection, StepInput
from DataSet.synthesis.stated_attributes import parse_answer
from llama.evaluation.tables import Row, Table
from llama.media.audio import Waveform

PLAYER_SECONDS = 5.0
FACTS = ("lead", "tempo class", "mode", "metre")


def pieces(result: SetResult, count: int = 6) -> Gallery:
    """The first pieces by their ids: wave, mel spectrogram, caption and player."""
    cards = []
    for entry in sorted(result.entries(), key=lambda entry: entry.item.id)[:count]:
        wave = Waveform.read(result.media(entry, "audio"))
        caption = entry.results["music_caption"]["text"]
        cards.append(Card(entry.item.key, [wave_and_mel(wave)], [caption], [sound_player(wave, PLAYER_SECONDS)]))
    return Gallery(cards)


def spread(result: SetResult) -> Figure:
    """Histograms of length, loudness, tempo and words of the captions. Tempi are those that captions state."""
    segments = [entry.results["segment"] for entry in result.entries()]
    texts = [entry.results["music_caption"]["text"] for entry in result.entries()]
    tempi = [tempo for tempo in (parse_answer("tempo", text) for text in texts) if tempo is not None]
    return Figure(histograms({
        "length, s": [segment["seconds"] for segment in segments], "loudness (RMS), dB": [segment["rms_db"] for segment in segments],
        "stated tempo, beats a minute": tempi, "words of the caption": [len(text.split()) for text in texts],
    }))  # fmt: skip


def facts(result: SetResult) -> MarkdownView:
    """Facts in captions against the composer's, where these are known."""
    known = [entry for entry in result.entries() if "lead" in entry.item.truth]
    rows = []
    for name in FACTS:
        values = [_stated(name, entry.results["music_caption"]["text"]) for entry in known]
        truths = [_true(name, entry) for entry in known]
        rows.append(agreement_row(name, values, truths))
    notes = ("Shuffled: the caption of each recording beside the truth of every other one. Captions that knew nothing would score the same in both.",)
    return table_view(Table("Facts in captions", AGREEMENT_COLUMNS, tuple(rows), notes))


def filters(result: SetResult) -> MarkdownView:
    """The published filter beside ours on the same recordings, and those on which they differ."""
    verdicts: Counter[tuple[str, str]] = Counter()
    rows = []
    for item, outcomes in result.histories():
        segment, ours = outcomes.get("segment"), outcomes.get("filter")
        if ours is None or segment is None or isinstance(segment, Rejection):
            continue
        wave = Waveform.read(result.media(StepInput(item, {"segment": segment}), "audio"))
        sequential, parallel = (published_rule(wave, form) for form in ("sequential", "parallel"))
        own = ours.rule if isinstance(ours, Rejection) else "kept"
        verdicts["published, sequential", _word(sequential.keeps)] += 1
        verdicts["published, parallel", _word(parallel.keeps)] += 1
        verdicts["ours", "kept" if own == "kept" else "rejected"] += 1
        if sequential.keeps != (own == "kept"):
            cells = {"ours": own, "published": _word(sequential.keeps), "its SNR, dB": f"{sequential.snr_db:.1f}"}
            rows.append(Row(label(item), cells))
    names = ("published, sequential", "published, parallel", "ours")
    counts = [Row(name, {word: str(verdicts[name, word]) for word in ("kept", "rejected")}) for name in names]
    notes = ("The published script calls -10 log10(power) the SNR and keeps 10 dB or more: minus the loudness.",)
    return table_view(
        Table("Filters on the same recordings", ("kept", "rejected"), tuple(counts)),
        Table("Where the sequential form and ours differ", ("ours", "published", "its SNR, dB"), tuple(sorted(rows, key=lambda row: row.label)), notes),
    )


def _stated(name: str, text: str) -> object:
    return tempo_class(parse_answer("tempo", text)) if name == "tempo class" else parse_answer(name, text)


def _true(name: str, entry: StepInput) -> object:
    return tempo_class(entry.item.truth["tempo"]) if name == "tempo class" else entry.item.truth[name]


def _word(keeps: bool) -> str:
    return "kept" if keeps else "rejected"
