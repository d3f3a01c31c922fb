"""The reader of MusicXML: each thing a file can say, and files that are damaged, too large or hostile."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

import numpy as np
import pytest

from llama.media import musicxml_file, musicxml_reader
from llama.media.musicxml_reader import read_musicxml
from llama.media.raw_score import RawScore
from llama.media.score_file import score_from_bytes

FOUR_FOUR = "<attributes><divisions>4</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
PLAIN = (
    "<part-name>Flute</part-name><midi-instrument id='I'><midi-channel>1</midi-channel><midi-program>74</midi-program></midi-instrument>"
)


def note(step: str, duration: int, more: str = "", octave: int = 4, before: str = "") -> str:
    pitch = f"<pitch><step>{step}</step>{more}<octave>{octave}</octave></pitch>"
    return f"<note>{before}{pitch}<duration>{duration}</duration></note>"


def piece(*bars: str, head: str = PLAIN) -> str:
    measures = "".join(f'<measure number="{number}">{bar}</measure>' for number, bar in enumerate(bars, start=1))
    return (
        f'<score-partwise version="4.0"><part-list><score-part id="P1">{head}</score-part></part-list>'
        f'<part id="P1">{measures}</part></score-partwise>'
    )


def read(text: str) -> RawScore:
    return read_musicxml(text.encode(), "piece.musicxml")


def notes_of(raw: RawScore) -> list[tuple[float, float, int]]:
    return [(item.start, item.length, item.pitch) for item in raw.notes]


# -- what a file says -------------------------------------------------------------------------------------------------


def test_notes_rests_chords_voices_and_alterations() -> None:
    raw = read(
        piece(
            FOUR_FOUR + note("C", 4) + note("E", 4, before="<chord/>") + "<note><rest/><duration>4</duration></note>"
            + note("F", 2, "<alter>1</alter>") + note("B", 6, "<alter>-2</alter>", octave=3)
            + "<backup><duration>16</duration></backup><forward><duration>8</duration></forward>" + note("G", 8, octave=2)
        )
    )  # fmt: skip
    assert sorted(notes_of(raw)) == [(0, 1, 60), (0, 1, 64), (2, 0.5, 66), (2, 2, 43), (2.5, 1.5, 57)]
    assert raw.parts[0].name == "Flute" and raw.parts[0].program == 73 and raw.length == 4


def test_ties_are_joined_over_bars_and_only_where_they_meet() -> None:
    start, both, stop = "<tie type='start'/>", "<tie type='stop'/><tie type='start'/>", "<tie type='stop'/>"
    last = note("C", 4, before=stop) + note("C", 12, before=stop)
    raw = read(piece(FOUR_FOUR + note("C", 16, before=start), note("C", 16, before=both), last))
    assert notes_of(raw) == [(0, 9, 60), (9, 3, 60)]


def test_transposing_instruments_sound_and_their_key_too() -> None:
    attributes = (
        "<attributes><divisions>4</divisions><key><fifths>2</fifths><mode>major</mode></key>"
        "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>"
    )
    raw = read(piece(attributes + note("D", 16)))
    assert notes_of(raw) == [(0, 4, 60)] and [(key.fifths, key.mode) for key in raw.keys] == [(0, "major")]


def test_tempo_metre_key_chords_and_marks() -> None:
    raw = read(
        piece(
            "<attributes><divisions>2</divisions><key><fifths>-3</fifths><mode>minor</mode></key><time><beats>3+2</beats>"
            "<beat-type>8</beat-type></time></attributes>"
            "<direction><direction-type><rehearsal>Intro</rehearsal></direction-type></direction>"
            "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>c. 60</per-minute></metronome>"
            "</direction-type></direction>"
            "<harmony><root><root-step>B</root-step><root-alter>-1</root-alter></root><kind>dominant</kind></harmony>" + note("C", 5),
            "<direction><sound tempo='72.5'/></direction><harmony><root><root-step>C</root-step></root><kind text='m7b5'>other</kind>"
            "<offset>2</offset></harmony>" + note("C", 5),
        )
    )
    assert [(metre.beats, metre.unit) for metre in raw.metres] == [(5, 8)] and raw.length == 5
    assert [(tempo.start, tempo.tempo) for tempo in raw.tempi] == [(0, 90), (2.5, 72.5)]
    assert [(key.fifths, key.mode) for key in raw.keys] == [(-3, "minor")]
    assert [(chord.start, chord.root, chord.quality) for chord in raw.chords] == [(0, 10, "dominant7"), (3.5, 0, "diminished")]
    assert [(mark.start, mark.text) for mark in raw.markers] == [(0, "Intro")]


def test_repeats_are_written_out_with_what_held_at_their_begin() -> None:
    back = "<barline location='right'><repeat direction='backward'/></barline>"
    first = "<barline location='left'><ending number='1' type='start'/></barline>"
    ends = "<barline location='right'><ending number='1' type='stop'/><repeat direction='backward'/></barline>"
    opening, ending = FOUR_FOUR + "<sound tempo='100'/>" + note("C", 16), first + "<sound tempo='80'/>" + note("D", 16) + ends
    raw = read(piece(opening, ending, note("E", 16) + back))
    assert notes_of(raw) == [(0, 4, 60), (4, 4, 62), (8, 4, 60), (12, 4, 64), (16, 4, 64)]
    assert [(tempo.start, tempo.tempo) for tempo in raw.tempi] == [(0, 100), (4, 80), (8, 100), (12, 80)]
    assert raw.faults == ("Repeats were written out: 3 bars became 5.",)


def test_swing_sounds_late_until_it_ends() -> None:
    swing = "<sound><swing><first>2</first><second>1</second></swing></sound>"
    straight = "<sound><swing><straight/></swing></sound>"
    raw = read(piece(FOUR_FOUR + swing + note("C", 2) + note("D", 14), straight + note("C", 2) + note("D", 14)))
    assert [(item.start, item.length) for item in raw.notes] == [
        (0, pytest.approx(2 / 3)), (pytest.approx(2 / 3), pytest.approx(10 / 3)), (4, 0.5), (4.5, 3.5)
    ]  # fmt: skip


def test_drums_by_their_instrument_or_their_place_on_the_staff() -> None:
    sound = "<midi-instrument id='K'><midi-channel>10</midi-channel><midi-unpitched>37</midi-unpitched></midi-instrument>"
    head = f"<part-name>Kit</part-name>{sound}"
    place = "<unpitched><display-step>{}</display-step><display-octave>5</display-octave></unpitched><duration>4</duration>"
    bars = FOUR_FOUR + f"<note>{place.format('C')}<instrument id='K'/></note><note>{place.format('G')}<notehead>x</notehead></note>"
    raw = read(piece(bars, head=head))
    assert [item.pitch for item in raw.notes] == [36, 42] and raw.parts[0].is_drum


def test_velocities_staves_and_an_upbeat() -> None:
    loud = "<direction><direction-type><dynamics><ff/></dynamics></direction-type></direction>"
    left = "<note><pitch><step>C</step><octave>3</octave></pitch><duration>4</duration><staff>2</staff></note>"
    first = FOUR_FOUR + note("C", 4).replace("<note>", "<note dynamics='100'>") + loud + "<backup><duration>4</duration></backup>" + left
    raw = read(piece(first, note("D", 16)).replace('number="1"', 'number="0" implicit="yes"'))
    assert [(item.part, item.velocity, item.start) for item in raw.notes] == [(0, 90, 0), (1, 112, 0), (0, 112, 1)]
    assert raw.upbeat == 1 and len(raw.parts) == 2


def test_what_is_left_out_is_said() -> None:
    grace = "<note><grace/><pitch><step>C</step><octave>4</octave></pitch></note>"
    high = note("G", 4, octave=10)
    raw = read(piece(FOUR_FOUR + grace + note("C", 4, "<alter>0.5</alter>") + high + note("D", 8) + "<sound dacapo='yes'/>"))
    assert [item.start for item in raw.notes] == [0, 2] and len(raw.faults) == 4
    assert raw.faults[0] == "1 grace notes were left out." and "D.C." in raw.faults[3]


def test_rests_that_are_too_long_do_not_lengthen_a_bar() -> None:
    raw = read(piece(FOUR_FOUR + note("C", 4) + "<note><rest measure='yes'/><duration>32</duration></note>", note("D", 16)))
    assert notes_of(raw) == [(0, 1, 60), (4, 4, 62)]


def test_files_by_measures_with_namespaces_and_in_utf_16_read_alike() -> None:
    text = piece(FOUR_FOUR + note("C", 16), note("D", 16))
    measures = [f"<measure><part id='P1'>{bar}</part></measure>" for bar in (FOUR_FOUR + note("C", 16), note("D", 16))]
    head = text.partition("<part id")[0].replace("partwise", "timewise")
    timewise = head + "".join(measures) + "</score-timewise>"
    spaced = text.replace("<score-partwise", "<score-partwise xmlns='http://www.musicxml.org/xsd/MusicXML'")
    wide = f'<?xml version="1.0" encoding="UTF-16"?>{text}'.encode("utf-16")
    assert notes_of(read(text)) == notes_of(read(timewise)) == notes_of(read(spaced)) == notes_of(read_musicxml(wide, "x"))


# -- compressed, damaged, hostile -------------------------------------------------------------------------------------


def zipped(entries: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def container(path: str) -> tuple[str, bytes]:
    return "META-INF/container.xml", f'<container><rootfiles><rootfile full-path="{path}"/></rootfiles></container>'.encode()


SCORE = piece(FOUR_FOUR + note("C", 16)).encode()


@pytest.mark.parametrize(
    "entries",
    [
        [container("a/score.xml"), ("other.xml", b"<x/>"), ("a/score.xml", SCORE)],
        [("score.musicxml", SCORE)],
        [container("../../etc/passwd"), ("score.xml", SCORE)],
    ],
)
def test_compressed_files_are_unpacked_in_memory(entries: list[tuple[str, bytes]]) -> None:
    assert notes_of(read_musicxml(zipped(entries), "piece.mxl")) == [(0, 4, 60)]


def lying() -> bytes:
    """An archive whose list says that an entry has ten bytes."""
    data = bytearray(zipped([("score.xml", SCORE)]))
    place = data.rfind(b"PK\x01\x02") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged or no MusicXML"),
        (b"\x00\x01\x02" * 50, "damaged or no MusicXML"),
        (SCORE[:-20], "damaged or no MusicXML"),
        (b'<?xml version="1.0" encoding="utf-7"?>' + SCORE, "damaged or no MusicXML"),
        (b"<html><body/></html>", "no score of MusicXML"),
        (b'<!DOCTYPE s [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><score-partwise>&b;</score-partwise>', "declares entities"),
        (b'<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]><score-partwise>&a;</score-partwise>', "declares entities"),
        (b'<!DOCTYPE s [<!ENTITY % a SYSTEM "http://127.0.0.1/a"> %a;]><score-partwise/>', "declares entities"),
        (b"<score-partwise>" + b"<part>" * 5000, "nests more than 100"),
        (b"<score-partwise>" + b"<unknown>" * 5000, "nests more than 100"),
        (b"<score-partwise><part " + b"a" * 200_000 + b"='1'/></score-partwise>", "a tag or a text of more than"),
        (b"<score-partwise/>", "0 parts"),
        (piece(FOUR_FOUR).encode(), "no notes"),
        (piece(FOUR_FOUR + note("H", 4)).encode(), "bar 1 of part 'Flute' has the note 'H'"),
        (piece(FOUR_FOUR + note("C", 4), note("C", 9_999_999)).encode(), "bar 2 .* longer than a bar"),
        (piece(FOUR_FOUR + note("C", 4).replace(">4<", ">1e999<")).encode(), "bar 1 .* has the (duration|octave) '1e999'"),
        (piece("<attributes><divisions>0</divisions></attributes>" + note("C", 4)).encode(), "has the divisions '0'"),
        (piece("<attributes><time><beats>0</beats><beat-type>4</beat-type></time></attributes>").encode(), "time signature"),
        (piece(FOUR_FOUR + "<note><duration>4</duration></note>").encode(), "a note without a pitch"),
        (zipped([("readme.txt", b"hello")]), "without a score"),
        (zipped([("score.xml", SCORE)])[:-30], "another kind"),
        (lying(), "damaged"),
        (b"PK\x03\x04" + b"\x00" * 100, "another kind"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_musicxml(data, "piece.musicxml")
    assert str(caught.value).startswith("piece.musicxml") and len(str(caught.value)) < 250 and "\n" not in str(caught.value)


def test_a_reference_to_an_outer_grammar_is_not_followed() -> None:
    outer = b'<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">'
    assert notes_of(read_musicxml(outer + SCORE, "x")) == [(0, 4, 60)]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = [FOUR_FOUR + note("C", 2) * 8, *[note("D", 2) * 8] * 9]
    back = "<barline><repeat direction='backward' times='20'/></barline>"
    for module, name, limit, text, message in (
        (musicxml_file, "MAX_FILE_BYTES", 1000, piece(*bars), "may have up to 1000"),
        (musicxml_file, "MAX_ELEMENTS", 50, piece(*bars), "more than 50 elements"),
        (musicxml_reader, "MAX_NOTES", 79, piece(*bars), "more than 79 notes"),
        (musicxml_reader, "MAX_NOTES", 80, piece(*bars[:-1], bars[-1] + back), "more than 80 notes with its repeats"),
        (musicxml_reader, "MAX_BARS", 9, piece(*bars), "more than 9 bars"),
        (musicxml_reader, "MAX_BARS", 100, piece(*bars[:-1], bars[-1] + back), "more than 100 bars with its repeats"),
    ):
        with monkeypatch.context() as patch, pytest.raises(ValueError, match=message):
            patch.setattr(module, name, limit)
            read(text)
    with monkeypatch.context() as patch:
        patch.setattr(musicxml_reader, "MAX_SIGNS", 30)
        chord = "<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>"
        assert len(read(piece(bars[0] + 3 * chord + back)).chords) == 30
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="more than 5000 bytes when it is unpacked"):
        patch.setattr(musicxml_file, "MAX_XML_BYTES", 5000)
        read_musicxml(zipped([("score.xml", SCORE + b" " * 1_000_000)]), "piece.mxl")


def test_divisions_without_a_common_multiple_are_refused() -> None:
    """Each of these would multiply the denominator of all places that follow, and so the time of every sum."""
    primes = (999_953, 999_959, 999_961, 999_979, 999_983)
    bars = [f"<attributes><divisions>{prime}</divisions></attributes>" + note("C", prime) for prime in primes]
    assert len(read(piece(*bars[:4])).notes) == 4
    with pytest.raises(ValueError, match="bar 5 of part 'Flute' has the divisions '999983'"):
        read(piece(*bars))
    small = [f"<attributes><divisions>{size}</divisions></attributes>" + note("C", size) for size in range(1, 49)]
    assert len(read(piece(*small)).notes) == 48


def test_damaged_bytes_are_read_or_refused_in_a_sentence() -> None:
    rng = np.random.default_rng(0)
    text = piece(FOUR_FOUR + note("C", 4) + note("E", 4, before="<chord/>"), note("D", 16, before="<tie type='start'/>")).encode()
    for base in (text, zipped([container("score.xml"), ("score.xml", text)])):
        for _ in range(300):
            data = bytearray(base)
            for place in rng.integers(len(data), size=int(rng.integers(1, 6))):
                data[place] = int(rng.integers(256))
            try:
                read_musicxml(bytes(data), "piece.musicxml")
            except ValueError as error:
                assert "\n" not in str(error)


def test_a_score_comes_from_an_upload_by_its_name() -> None:
    bars = [FOUR_FOUR + note("C", 8) + note("E", 8), note("G", 8) + note("E", 8), note("D", 16), note("C", 16)]
    score = score_from_bytes(piece(*bars).encode(), "song.MusicXML")
    assert [item.pitch for item in score.lead] == [60, 64, 67, 64, 62, 60]
    assert score_from_bytes(zipped([("song.xml", piece(*bars).encode())]), "song.mxl") == score
