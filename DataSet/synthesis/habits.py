"""Typing habits: words before or after, a story around the request, slang, typos, missing capitals and punctuation.

`as_typed` keeps the request and varies its surroundings, so that a model learns which words matter.
"""

from __future__ import annotations

import re

import numpy as np

from DataSet.synthesis.wording import chance, choose, spin

BEFORE = ("Please: ", "Listen: ", "Tell me: ", "Hello! ", "Question: ", "Hi, ", "Now: ", "OK. ", "And now: ", "I have a question. ", "So, ", "{Hey|Hi|Hello|Yo|Dear MuMu|Good morning|Good evening}{,|!|} ", "{Ok|Okay|Alright|Right|Well|Sorry|Actually|Hm|Um|Uh|Also|And}{,|} ", "{Quick|Silly|Stupid|Random|Next} {question|request}{:|,| -} ",
          "{Excuse me|Pardon|Forgive me|If I may}{,|:} ", "{Dear|My dear} {computer|machine|friend|musician}, ", "{MuMu|Bot|Computer|Maestro|DJ}{,|:} ", "{Thanks|Nice|Great|Cool|Wow|Lovely}{!|.|,} ", "{First of all|To begin with|One more thing|By the way|btw|Anyway}{,|:} ", "{lol|haha|hmm|pls|plz|yo}{,|} ")
AFTER = (" Please.", " Thanks.", " Thank you!", " please", " thanks", " I am curious.", " What do you think?", " {thx|ty|pls|plz|tia|cheers}{|!|.}", " {Thank you|Thanks} {so much|a lot|in advance|very much}{|!|.}", " {It's|It is} {urgent|important|for {school|work|my band|homework|a friend}}{|.}", " {If you can|If possible|If you don't mind|When you have time|whenever you can}{|.}",
         " {I have no idea|I can't tell|I need to know|I am not a musician|I'm new to this|my ears are bad}{|.}", " {asap|now|quickly|right away|real quick|today}{|.|!}", " {:)|:-)|;)|<3|!!|!!!|...}", " {Take your time|No hurry|Be honest|Be quick|Be precise|Keep it short|In one sentence|Just that|Nothing else}{|.}", ", {ok|okay|right|will you|can you|would you|yes|man|mate|dude|bro|friend}?", " {You are great|I love this|That would help a lot|This would make my day}{|.|!}")
STORY = ("{My|Our|Your|His|Her} {WHO} {DID} {WHAT}{| {WHEN}}{. |, so |; | and }", "{I am|We are|I was|We were} {DOING} {WHAT}{| {WHEN}}{. |, so |; | and }", "{WHEN} {I|we|my {WHO}} {DID} {WHAT}{. |, so |; |, and now }", "{There|Here} {is|was} {WHAT} {in my|from my|for the} {THING}{. |, so |; }", "{I|We} {love|hate|need|have|saw|lost} {WHAT} {in|near|with|without} {the|my|a} {THING}{. |, so |; }")
_STORY = {
    "WHO": "sister brother mother father uncle aunt cousin teacher boss neighbour friend girlfriend boyfriend wife husband son daughter grandma grandpa roommate colleague student coach doctor landlord client director professor dentist".split(),
    "DID": "bought found lost brought sent made liked broke painted visited wrote read cooked fixed sold saw filmed kept wanted opened".split(),
    "DOING": "making writing building preparing finishing starting editing planning watching cleaning collecting testing studying drawing learning sorting".split(),
    "WHAT": ["a film", "a short video", "a game", "my homework", "a website", "a cake", "an app", "a big project", "a new house", "the garden", "an old box", "a report", "some tapes", "a present", "a podcast", "my essay", "a book", "a school play", "a table", "a letter", "three boxes", "an archive", "a museum tour", "a blue lamp", "a talk"],
    "WHEN": ["yesterday", "last week", "this morning", "tonight", "on Monday", "last summer", "years ago", "an hour ago", "today", "at noon", "after lunch", "before dinner", "next week"],
    "THING": "kitchen office car train garden basement attic school library shop street cellar bag phone laptop folder museum park hotel boat tent".split(),
}
SLANG = (("what is", "what's"), ("what is", "whats"), ("it is", "it's"), ("it is", "its"), ("there are", "there're"), ("is there", "is there"), ("please", "pls"), ("please", "plz"), ("you", "u"), ("are", "r"), ("want to", "wanna"), ("give me", "gimme"), ("something", "sth"), ("something", "smth"), ("music", "musik"), ("because", "cuz"),
         ("without", "w/o"), ("with", "w/"), ("and", "&"), ("and", "n"), ("what", "wat"), ("would like", "'d like"), ("going to", "gonna"), ("the", "da"), ("do not", "don't"), ("I am", "I'm"), ("I would", "I'd"), ("instrument", "instr"), ("instrument", "instrmnt"), ("cannot", "can't"), ("colour", "color"), ("metre", "meter"), ("tempo", "temp"), ("know", "kno"), ("about", "abt"), ("beats per minute", "bpms"), ("for", "4"), ("thanks", "thx"), ("track", "trk"))
SMALL = frozenset("the a an is it of to me do you does in on at this that please for are i there be can could would some".split())
_WORD = re.compile(r"[A-Za-z]{4,}")
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_COMPACT_KEY = re.compile(r"\b[A-G][#b♯♭]?m\b")
NEIGHBOURS = {letter: row[max(0, place - 1):place] + row[place + 1:place + 2] for row in KEYBOARD for place, letter in enumerate(row)}


def story(rng: np.random.Generator) -> str:
    """A sentence that is unrelated to the request."""
    text = spin(rng, choose(rng, STORY))
    for name, words in _STORY.items():
        while "{" + name + "}" in text:
            text = text.replace("{" + name + "}", choose(rng, words), 1)
    return text[:1].upper() + text[1:]


def add_typo(rng: np.random.Generator, text: str) -> str:
    """Puts a typo into one longer word: letters swapped, or one missing, doubled, or the one beside it on the keyboard."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = choose(rng, words)
    index = word.start() + 1 + int(rng.random() * (len(word.group()) - 2))
    kind = int(rng.random() * 4)
    middle = (text[index + 1] + text[index], "", text[index] * 2, choose(rng, NEIGHBOURS[text[index].lower()]))[kind]
    return text[:index] + middle + text[index + (2 if kind == 0 else 1):]


def add_slang(rng: np.random.Generator, text: str) -> str:
    for _ in range(4):
        plain, short = choose(rng, SLANG)
        if re.search(rf"\b{plain}\b", text, re.I):
            return re.sub(rf"\b{plain}\b", short, text, count=1, flags=re.I)
    return text


def drop_words(rng: np.random.Generator, text: str) -> str:
    """Drops some of the function words."""
    return " ".join(word for word in text.split(" ") if word.lower() not in SMALL or chance(rng, 0.5)) or text


def as_typed(rng: np.random.Generator, text: str) -> str:
    """The text with random typing habits."""
    if not text:
        return text
    roll = rng.random(6)
    if roll[0] < 0.06:
        text = add_slang(rng, text)
    if roll[1] < 0.04:
        text = drop_words(rng, text)
    if roll[2] < 0.07:
        text = spin(rng, choose(rng, BEFORE)) + (text if chance(rng, 0.5) else text[:1].lower() + text[1:])
    elif roll[2] < 0.12:
        text = story(rng) + text[:1].lower() + text[1:]
    if roll[3] < 0.10:
        text = (text if chance(rng, 0.5) else text.rstrip(".?!")) + spin(rng, choose(rng, AFTER))
    if roll[4] < 0.09:
        text = add_typo(rng, text)
        if roll[4] < 0.02:
            text = add_typo(rng, text)
    if roll[5] < 0.22:
        text = text.lower()
    elif roll[5] < 0.25 and not _COMPACT_KEY.search(text):  # "CM" would be C major
        text = text.upper()
    return text.rstrip(".?!") if chance(rng, 0.22) else text
