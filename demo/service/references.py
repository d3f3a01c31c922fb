"""Rules that decide whether a message refers to earlier media (coreference); the first rule that matches decides.

A rule has a verdict, patterns on lower-case text, and an example sentence. Before matching, politeness ("great, ...") and
phrases that only look like references ("what time is it") are removed. Patterns name vocabulary in braces. Where a request
for new music and a change are worded alike ("a waltz", "violin"), it is new music, which leaves the last piece intact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llama.media.requests.questions import asks_for_facts
from llama.media.requests.reader import joins_edits, names_edit
from llama.media.requests.typing_errors import correct_typing
from llama.media.score import LEADS

INSTRUMENTS = (*LEADS, "strings", "pad", "synth", "sax", "fiddle", "drums?", "percussion", "bass", "keyboard", "horn", "oboe",
               "banjo", "trombone", "ukulele")  # fmt: skip
VOCABULARY = {  # name -> alternatives of a pattern
    "instrument": "|".join(INSTRUMENTS),
    "whole": "piece|song|tune|track|music|recording|melody|theme|result",
    "part": "{whole}|{property}|sound|harmony|background|drum kit|drum beat|volume|ending",
    "property": "key|tempo|bpm|speed|pace|metre|meter|mode|scale|style|genre|rhythm|time signature|beats?|instruments?|chords?"
                "|drums?|drummer|percussion|accompaniment|backing|melody|lead|solo|bass",
    "music": "piece|song|tune|track|music|melody|theme|number|waltz|ballad|lullaby|dance|rock|swing|jazz|ambient|techno|house"
             "|loop|jingle|soundtrack|groove|jam|march|hymn|solo",
    "make": "write|compose|make|create|play|give|produce|generate|improvise|do|have|want|need|like|love|get|record|build|try"
            "|hear|prefer",
    "compared": "faster|slower|quicker|sadder|happier|calmer|livelier|darker|brighter|gloomier|softer|louder|quieter|lighter"
                "|heavier|higher|lower|deeper|longer|shorter|gentler|jazzier|merrier|moodier|simpler|warmer|funkier|groovier"
                "|wilder|smoother|dreamier",
    "much": "far |way |much |a bit |a little |slightly |bit |little ",
    "praise": "great|nice|good|cool|lovely|beautiful|wonderful|perfect|awesome|amazing|fantastic|fine|excellent|brilliant"
              "|interesting|fun|funny|okay|ok|sweet|pretty|all",
    "image": "picture|image|photo|photograph|painting|drawing|pic|snapshot",
    "video": "clip|video|film|movie|footage|animation",
    "ordinal": "first|1st|second|2nd|third|3rd|fourth|4th|last|previous",
    "number": "one|two|three|four|[1-9]",
    "please": "(?:can|could|would|will) you|please|now|and|then|let's|i(?:'d| would)? (?:want|like) you to",
    "ask": "which|what|what's|whats|how (?:fast|slow|quick|many)|is there|are there|is|are|do i hear|do you hear|can you hear"
           "|did you|does the|any|who plays|who's playing|name|tell me|find|identify|determine",
    "change": "add|remove|drop|delete|cut|mute|lose|strip|replace|swap|change|switch|transpose|(?:speed|slow)(?= (?:it|the|up|down))"
              "|raise|lower|increase|decrease|reduce|double|halve|take (?:out|away|off)|leave|keep|get rid of|bring in|put in"
              "|throw in|include|set (?:the|it)|rearrange|extend|vary|redo|rescore",
    "onward": "and|now|then|or|next|maybe|perhaps|this time|try|how about|what about|what if|just|also",
    "pointing": "it|its|this|that|these|they|the|same|with|without|as|into|is|are|does",
}  # fmt: skip
MAX_READ_CHARACTERS = 400  # read by the rules: references come early, and the patterns take seconds on long texts


@dataclass(frozen=True)
class Rule:
    refers_to_earlier: bool
    example: str  # a sentence decided by this rule
    patterns: tuple[str, ...]  # any of them matches


RULES = (
    # Questions about the world, about music in general and about the model's abilities.
    Rule(False, "How do I tune a guitar?", tuple(r"^(?!.*\b(?:it|this|that|they|here|there)\b)" + clause for clause in (
        r"(?:how (?:do|can|would|should|does) (?:i|you|one|we|people|a|an)|why|when|where|explain|define|have you)\b",
        r"(?:who (?:was|wrote|invented|composed|sang)|tell me (?:more )?about (?!the)|do you (?:know|like|believe|speak))\b",
        r"(?:can you (?:sing|read|help|speak)|does (?:a|an)|is (?:a|an)|are (?:all|most|you))\b",
        r"describe (?!(?:the {whole}|what)\b)\w+",
        r"what(?:'s| is| are| was| were| does| do) (?:a|an|you (?!hear)|your|the (?:difference|meaning|capital|weather))\b",
        r"what(?:'s| is| are) (?!the|its|playing|major|minor)\w+(?: \w+)?\W*$"))),
    Rule(False, "Which instruments can you play?", (
        r"^(?:which|what) .*\b(?:can|could|do|would) you (?:know|play|make|do|offer|support|speak|have|use)\W*$",)),
    Rule(False, "What tempo is a waltz?", (
        r"^(?:which|what|how) .*\b(?:is|are|does|do|has|have|in|of|on) (?:a|an) (?!minor|major|sharp|flat)\w+(?: have| use)?\W*$",)),
    # Wording that can only mean an earlier piece.
    Rule(True, "A waltz like that one", (
        r"\b(?:the same|(?:like|of|than) (?:it|this|that|these)|instead|again|another (?:one|take)|more of|go on from)\b",
        r"\b(?:(?:version|cover|variation|remix)s?|similar|that kind|play along)\b|^but\b|^same\b")),
    Rule(True, "Turn my recording into a dance", (r"\b(?:this|that|my|the (?:last|previous)) (?:{whole}|one)\b",)),
    Rule(True, "I want a slower one", (r"\b(?:a|an|the) {much}?{compared} (?:one|tempo)\b",)),
    Rule(True, "Could you make it a rock song?", (
        r"^(?:{please} )*(?:make|turn|play|do|put|try|change|arrange|convert|rework) (?:it|this|that)\b",
        r"^(?:{please} )*(?:make|turn) the {instrument} (?:into |to )?(?:a|an)\b")),
    Rule(True, "Add a drum beat", (
        r"^(?:{please} )*{change} (?!\d+ (?!bpm|beats)|me\b|us\b)",
        r"^(?:{please} )*(?:let|have) (?:a|an|the) (?:\w+ )?{instrument} (?:play|take|carry|lead|sing|join)",
        r"^(?:{please} )*(?:continue|go on|carry on|keep going|once more|encore)\b")),
    Rule(True, "A new melody in bars 3 and 4", (
        r"^(?:{please} )*(?:{make} (?:me )?)?(?:a |an |the |some )?(?:(?:whole|completely) )?(?:new|different|other|another|fresh) "
        r"(?:{property}|tune|theme)(?: ?line| part)? (?:in|for|from|over|during|at) (?:the )?"
        r"(?:bars?|measures?|first|second|last|other|beginning|end)\b",)),
    # New music: "a sad waltz", with or without a verb, its noun before any word that points back.
    Rule(False, "Something calm for harp", (r"\b(?:something|anything|sth|smth)\b",)),
    Rule(False, "Soft evening music", (
        r"^(?:(?!(?:{pointing}|my|your|in|on|at|for|no|was|did|which|what|how|too|more|less|{compared})\b)[\w'/-]+:? )*?"
        r"{music}s?\b(?! it\b|\W*\?)",)),
    Rule(False, "For my party I want a march", (
        r"^(?:in the mood |(?!{pointing}\b|on\b)[\w',/-]+ )*?(?:a|an|some|any|new|other|another|different) "
        r"(?!bit|little|lot|tad)[^.?!]*?\b{music}s?\b",
        r"\b(?:would|does) (?!it\b|this\b|that\b|the\b).* sound\b")),
    Rule(False, "I would like a soft harp", (
        r"(?:^|\b{make} (?:me |us )?)(?:a|an|some) [^.?!]*?\b{instrument}\b"
        r"(?! instead|.*\b(?:melody|tune|lead|underneath|background)\b)",)),
    # Pronouns, parts and comparisons.
    Rule(True, "Is that a harp?", (
        r"\b(?:it|its|them|they|this)\b",
        r"(?:^|\b(?!{music}|{instrument}|one)\w+ )that\b(?! (?:is|has|makes|gives|sounds|goes|i|we)\b)")),
    Rule(True, "Who plays the melody?", (r"\b(?:the|your|those) (?:\w+ )?{part}\b(?! of\b)",)),
    Rule(True, "Way too fast!", (
        r"\b{compared}\b(?! than)|\b(?:speed|slow) (?:up|down)\b|\b(?:up|down) (?:a|an|one|two|by) ",
        r"\b(?:more|less) (?!about|info|music|songs|pieces|than|please|help|examples|often)\w+",
        r"^{much}?(?:too|not so|not that|not as) (?!bad\b|sure\b)\w+")),
    # Fragments that continue an earlier sentence.
    Rule(True, "Now with violin", tuple(r"^(?:{onward}[\s,]+)*" + clause for clause in (
        r"(?:with|without|w/|w/o|minus|plus|over|featuring)\b", r"no (?:{part}|{instrument})\b", r"as an?\b", r"as \w+\W*$",
        r"(?:in|into|to) (?:a |the key of )?(?:[a-g]\b|[a-g][ -](?:sharp|flat)|major|minor|three|four|common|\d|another key)",
        r"(?:on|for) (?:a |an |the |solo )?{instrument}\b", r"(?:at )?(?:about )?\d+ ?(?:bpm|b\.p\.m|beats|$)",
        r"(?:a )?(?:major|minor)\b(?! or)"))),
    Rule(True, "What about a flute?", (
        r"^(?:how|what) about (?:a|an|the|some) {instrument}\W*$", r"\bas (?:the )?(?:lead|melody|backing|accompaniment)\b",
        r"^(?:more |i (?:want|miss|need) )?(?:a |the |some )?(?:drums|percussion|beat)(?: please| too| on| off| out)*\W*$",
        r"\b(?:underneath|in the background)\b")),
    Rule(True, "Play the last four bars twice", (r"\bthe (?:first|last|next) (?:\w+ )?(?:bars?|measures?)\b|\b(?:bars?|measures?) \d",)),
    Rule(True, "Use a flute", (
        r"^(?:{please} )*(?:use|try|put|choose|arrange) (?:a |an |the |some )?(?:\w+ )?(?:{instrument}|major|minor)\b",)),
    # Questions about a sound.
    Rule(True, "Is there a bass in there?", (
        r"^(?:and |so |now )*{ask}\b.*\b(?:{property}|major|minor|swing|playing|you hear|{instrument})\b",
        r"^(?:the |main )?{property}\W*\?|\b{property}\b.*\?$|\bsoloist\b|\bwhether\b|^describe\b|\bwhat (?:do|did) (?:you|i) hear\b",
        r"\b(?:major|minor|happy|sad|cheerful) or (?:major|minor|happy|sad|gloomy)\b")),
)  # fmt: skip

_POLITE_WORDS = (
    r"ok(?:ay)?|great|nice|cool|wow|super|thanks?(?: you)?(?: so much| a lot| very much)?|thx|hm+|well|alright|yes|yeah|no",
    r"(?:hey|hi|hello)(?: again| there)?|please|actually|sorry|perfect|lovely|awesome",
    r"(?:i|we) (?:really |quite |do |don't )*(?:like|love|enjoy|adore)(?:d|ed)? (?:it|this|that|(?:the|this|that|your) {whole})(?: one)?"
    r"(?: a lot| very much)?",
    r"(?:this|that|it)(?:'s| is| was| sounds?| sounded) (?:so |very |really |quite |pretty |just )*{praise}")
_POLITE = (  # at the beginning, with the comma or word that separates it
    rf"(?:(?:{'|'.join(_POLITE_WORDS)})(?:\s*[,.!;:-]+\s*| (?=and|but|now|thank|can|could|make|then|let)|\W*$))+")
_DUMMY = "|".join((
    r"what time is it|how does (?:this|it) work|what can (?:this|it) do|how(?:'s| is) it going|\bwill it be\b",
    r"\b(?:is|was|will|would) it (?:be )?(?:possible|ok|okay|true|going|gonna|rain|snow|cold|hard|easy)\w*",
    r"\bit(?:'s| is) (?:my|raining|snowing|late|time|cold|hot|urgent|for|about)\b",
    r"\bthis (?:thing|page|site|place|article|morning|evening|afternoon|night|week|weekend|month|year|summer|winter)"))
_LEAD_IN = r"(?:(?:and|please|now|so|{please}|(?:can|could|may) i|let me|let us|i want to|i'd like to|i would like to|i want) )*"
_ONCE_MORE = r"(?:(?:once )?again|once more|one more time|another time|from the (?:top|beginning|start))"
_SAME = r"(?:it|(?:this|that)(?: one)?|(?:the )?same(?: (?:one|thing|{whole}))?|(?:the|this|that) {whole})"
_AGAIN = (  # matched after a named piece was replaced by "it"
    rf"{_LEAD_IN}(?:(?:(?:play|hear|listen to|do|make|give|have|repeat|replay)(?: me| us)? )?"
    rf"(?:{_SAME} )?{_ONCE_MORE}(?: {_ONCE_MORE}| {_SAME})?"
    rf"|(?:repeat|replay)(?: {_SAME})?|go back to {_SAME}(?: and play (?:it|that))?(?: {_ONCE_MORE})?|encore)(?: please)?")
_ANOTHER = (
    rf"{_LEAD_IN}(?:(?:(?:give|make|do|try|play|hear|have|want|generate)(?: me| us)? )?(?:(?:another|one more|a different|a new) "
    rf"(?:take|try|go|one|version|variation)(?: of {_SAME})?|another|one more)|try {_ONCE_MORE}|regenerate(?: {_SAME})?)(?: please)?")
_LAST_EDIT = (
    r"(?:it|that|this|the (?:last|latest) (?:change|edit|step|one)|my last (?:change|edit)"
    r"|the (?:(?:{property}|{part}) )?(?:change|edit)|the (?:transpos(?:e|ing|ition)|fade|loop|cut))")
_BEFORE = (
    r"(?:the )?(?:one|piece|version|take|thing|edit) (?:before|from before|you had before)(?: (?:that|this|it))?"
    r"|the (?:previous|earlier|old|original) (?:one|piece|version|take)|what (?:it was|we had)|how it was")
_UNDO = (  # after the politeness before it
    rf"{_LEAD_IN}(?:(?:undo|revert|roll back|cancel|scrap)(?: {_LAST_EDIT})?|reverse (?:that|the last \w+)"
    rf"|(?:take|put|change|turn|bring) {_LAST_EDIT} back"
    rf"(?: to (?:{_BEFORE}))?|make it (?:sound )?(?:like|as) (?:it was )?before"
    rf"|go (?:one |a )?(?:step )?back(?: (?:one|a) step)?(?: to (?:{_BEFORE}))?|one step back"
    rf"|back to (?:{_BEFORE})|(?:{_BEFORE}) (?:was|sounded) (?:much |far |a lot |way )?(?:better|nicer)"
    rf"|it (?:was|sounded) (?:much |far |a lot |way )?(?:better|nicer) before"
    rf"|i (?:liked|preferred) (?:{_BEFORE})(?: (?:better|more))?|ctrl ?[-+]? ?z)(?: please)?")
_CHOICE = (  # after a named piece was replaced by "it"
    rf"{_LEAD_IN}(?:(?:go back|back|return|switch|jump) (?:to )?it|(?:keep|take|use|choose|pick|select|prefer) it"
    r"|i (?:prefer|take|choose|want) it|i like it (?:better|best|more|most)"
    r"|it (?:is|was|sounds) (?:much |far |a lot )?(?:better|nicer|best|the best)(?: one)?|it)(?: please)?")
_FOR_IT = (r"\b(?:for|to go with|that (?:fits|suits|matches)|inspired by|score|accompany) (?:it|this|that)"
           r"(?=\W*$|[,.;]| (?:please|with|without|but|in)\b)")
_VISUAL = r"\b(?:the|this|that|my|your|its|both) (?!{whole} (?:for|of|to|from))(?:\w+ )?%ss?\b"
_MUSIC_OF_VISUAL = r"\b(?:the|that|this) (?:{whole}|soundtrack) (?:for|of|to|from) "
_TAKE = (r"\bthe (?P<ordinal>{ordinal}) (?:one|take|version|piece|variant|result)\b|\bthe (?P<bare>first|second|third|fourth)(?=\W*$)"
         r"|(?:\b(?:the )?(?:take|version|option|variant|piece)(?: number)?|(?<!\ba )(?<!\bthe )\bnumber) ?#?(?P<number>{number})\b"
         r"|\bthe one (?P<before>before)\b(?: that| this)?")
_INDICES = {"first": 0, "1st": 0, "one": 0, "second": 1, "2nd": 1, "two": 1, "third": 2, "3rd": 2, "three": 2, "fourth": 3, "4th": 3,
           "four": 3, "last": -1, "previous": -2, "before": -2}  # fmt: skip

# Users' wording -> wording of the training texts: moods as modes and tempos, questions as instructions.
REPLACEMENTS = (
    (r"{much}?(?:sadder|gloomier|darker|moodier|less (?:happy|cheerful|merry)|more (?:sad|gloomy|melancholic|tragic))", "in minor"),
    (r"{much}?(?:happier|brighter|merrier|sunnier|less (?:sad|gloomy|dark)|more (?:happy|cheerful|joyful|sunny|bright))", "in major"),
    (r"{much}?too (?:happy|cheerful|jolly|merry|bright)(?: for me)?", "make it in minor"),
    (r"{much}?too (?:sad|gloomy|dark|depressing)(?: for me)?", "make it in major"),
    (r"^{much}?too slow", "make it faster"), (r"^{much}?too (?:fast|quick|hectic)", "make it slower"),
    (r"^not (?:so|that|quite so) (?:fast|quick)", "make it slower"), (r"^not (?:so|that|quite so) slow", "make it faster"),
    (r"^as (?=an? )", "make it "), (r"^(?:what|how) about (?=(?:an?|the) )", "with "),
    (r"calmer|more (?:calm|relaxed|relaxing|peaceful)|less (?:hectic|energetic)", "slower"),
    (r"livelier|more (?:lively|energetic|energy|exciting|upbeat)|less (?:sleepy|boring)", "faster"),
)  # fmt: skip


def refers_to_earlier(text: str) -> bool:
    """Whether the message refers to earlier media: a sound, or a picture or clip if there is no sound.

    Where no rule decides, requests that are edits by themselves do ("undo", "up a fifth", "twice the length"), and questions about
    a piece ("how many bars?"); several edits and nothing else do in any case, and so do such questions.
    """
    if asks_for_facts(text) or joins_edits(text):
        return True
    rule = matching_rule(text)
    return names_edit(text) or asks_for_facts(text) if rule is None else rule.refers_to_earlier


def matching_rule(text: str) -> Rule | None:
    """First rule that matches a message; None if none does."""
    line = _pattern(_DUMMY).sub("...", _without_politeness(normalize(text)))
    return next((rule for rule in RULES if any(_pattern(pattern).search(line) for pattern in rule.patterns)), None)


def mentions(text: str, kind: str) -> bool:
    """Whether the message names the earlier picture (kind "image") or clip ("video") itself, not the music made for it."""
    line = normalize(text)
    return bool(_pattern(_VISUAL % f"{{{kind}}}").search(line)) and not _pattern(_MUSIC_OF_VISUAL).search(line)


def wants_music_for_it(text: str) -> bool:
    """Whether the message asks for music for "it": for a picture or clip."""
    return bool(_pattern(_FOR_IT).search(normalize(text)))


def piece_index(text: str) -> int | None:
    """Index of the named piece from 0; -1 is the last, -2 the one before it; None if none is named."""
    match = _pattern(_TAKE).search(normalize(text))
    if match is None:
        return None
    name = next(value for value in match.groups() if value)
    return _INDICES[name] if name in _INDICES else int(name) - 1


def repeat_kind(text: str) -> Literal["same", "another"] | None:
    """"same" or "another" if the message only asks to repeat a piece or for another take of it, else None."""
    line = _pattern(_TAKE).sub("it", _without_politeness(normalize(text)))
    line = " ".join(re.sub(r"[^\w' ]", " ", line).split())
    return "same" if _pattern(_AGAIN).fullmatch(line) else "another" if _pattern(_ANOTHER).fullmatch(line) else None


def undo_request(text: str) -> bool:
    """Whether the message only asks to take the last edit back: "undo that", "go back", "the one before was better"."""
    line = normalize(text)
    lines = (line, _without_politeness(line))
    return any(_pattern(_UNDO).fullmatch(_bare_words(said)) for said in lines)


def names_piece_alone(text: str) -> bool:
    """Whether the message only goes to a piece that it names: "take 2", "go back to the first one", "the second one is better"."""
    line = normalize(text)
    lines = [_bare_words(_pattern(_TAKE).sub("it", said)) for said in (line, _without_politeness(line))]
    return piece_index(text) is not None and any(_pattern(_CHOICE).fullmatch(said) for said in lines)


def _bare_words(line: str) -> str:
    return " ".join(re.sub(r"[^\w' +-]", " ", line).split())


def rewrite_instruction(text: str) -> str:
    """The instruction without politeness, with a named piece as "it" and moods in the wording of the training texts."""
    instruction = text.strip().replace("’", "'")
    instruction = instruction[len(instruction) - len(_without_politeness(instruction)) :] or instruction
    instruction = _pattern(_TAKE).sub("it", instruction)
    for pattern, replacement in REPLACEMENTS:
        instruction = _pattern(rf"\b(?:{pattern})\b").sub(replacement, instruction)
    return instruction[:1].upper() + instruction[1:]


def normalize(text: str) -> str:
    """Beginning of a message as one lower-case line with straight apostrophes, without typing errors in words of edits."""
    return " ".join(correct_typing(text[:MAX_READ_CHARACTERS].replace("’", "'").lower()).split())


def _without_politeness(line: str) -> str:
    match = _pattern(_POLITE).match(line)
    return line[match.end() :] if match else line


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    while (expanded := re.sub(r"\{([a-z]+)\}", lambda name: f"(?:{VOCABULARY[name[1]]})", pattern)) != pattern:
        pattern = expanded  # vocabulary may contain vocabulary
    return re.compile(pattern, re.IGNORECASE)
