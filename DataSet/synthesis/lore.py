"""Dialogues without media: what the model is, a few facts of music, and polite refusals."""

from __future__ import annotations

GREETINGS = ("{Hey|Hi|Hello|Yo|Hiya|Howdy|Hallo}{| all| everyone| bot| mate| buddy| dear| friend}{|!|.|, how are you?|, what's new?}", "{How do you do|How's life|How are things|You okay|Are you awake|Are you ready|Ready}?", "{Nice|Good|Pleased} to {meet|see} you{|!|.}", "{Knock knock|Testing|Ping|Hello hello|Is this thing on|Can you hear me}{|?|.|!}", "{I am|I'm|My name is} {Anna|Tom|Max|new here|back|Lee|Sam|your fan}{|.|!}", "Yo{|!|.}", "Hello {again|friend|MuMu|computer|machine}{|!|.}", "Hi {again|friend|there}{|!|.}", "{Anybody|Anyone} {here|there|home}?", "How is it going?", "What's up?", "Hello{|!|.}", "Hi{| there}{|!|.}", "Good {morning|evening|afternoon}{|!|.}", "Hey{| there| you}{|!|.}", "Greetings{|!|.}", "How are you{| today}?", "Hello, {how are you|nice to meet you}{|?|.}",
             "Are you there?", "Hi, MuMu{|!|.}", "Welcome{|!|.}", "Good day{|!|.}")
GREETING_ANSWERS = ("Hello! {Give me a recording, or ask me for music|Play me something, or ask me for music}.",)
THANKS = ("{Thanks|Thank you|Thx|Cheers|Many thanks|Ta}{| so much| a million| for that| mate| dear| for your help}{|!|.}", "{You are|It is|It sounds|You were|That was} {great|good|amazing|fantastic|brilliant|the best|so cool}{|!|.}", "{I|We} {like|love|enjoyed|adore} {it|that|this|your music|the piece}{| a lot| very much}{|!|.}", "{Good bye|Bye bye|See ya|Later|Take care|Good night|I have to go|That's all}{|!|.}", "{Fantastic|Brilliant|Amazing|Sweet|Neat|Excellent|Wonderful|Incredible}{|!|.}", "{Cool|Nice|Great|Wow|Perfect|Lovely|Super|Awesome|Beautiful|Bravo}{|!|.}", "{Very nice|Good job|Excellent work|Not bad}{|!|.}", "Thank you, {MuMu|that was great|goodbye|that is all}.", "{Farewell|Ciao|Good night|Until tomorrow}{|!|.}", "Thank you{|!|.| very much.}", "Thanks{|!|.| a lot.}", "{That was|That is|This is} {great|nice|beautiful|lovely|wonderful}{|!|.}", "Well done{|!|.}", "Bye{|!|.}", "Goodbye{|!|.}", "{It|That} {made my day|moved me}{|!|.}", "See you{|!|.| later.}")
THANKS_ANSWERS = ("{Thank you|With pleasure}! {Shall I play|May I play} something else?",)
ABILITIES = ("{What can you do|What do you offer|What do you know|What can this do|What else can you do}{| for me| exactly| here}?", "{Explain|Describe|Present} yourself{|.|, please}", "{Are you able to|Can you|Do you} {hear|compose|write} music?", "{List|Tell me|Show} {your|all} {features|skills|abilities|commands|functions|tricks}{|.}", "{Who are you|What are you|What is MuMu|Who is MuMu|What is this}{| exactly}?", "{How|Where} do I {start|begin|use you|use this}?", "{Manual|Instructions|Usage|Options|Menu|Tutorial}{|?|, please}", "{What|Which} {input|media|files|things} {can I give you|do you take|do you understand|do you accept}?", "{What|Which} {things|tasks} can you do?", "{Show|Tell} me what you can do.", "What is this{| program| thing| page}?", "What {are|is} your {abilities|skills|purpose|job}?", "Can you {hear|listen to} {music|recordings|audio}?", "Can you {compose|write music|make a song}?", "How {does this|do you} work?", "What {is|was} your name?", "What can you do?", "{Help|Help me}{|!|.}", "Who are you?", "What are you?", "How do you work?", "What {do|should} I do{| here| now}?", "What are you {good|made} for?", "{Tell me|Say something} about yourself.",
             "What can I ask{| you}?", "{Name|State} your {trade|talents}.", "What is in your {toolbox|repertoire}?", "Introduce yourself.", "How can you help{| me}?")
ABILITY_ANSWERS = ("I {listen to|hear} recordings and answer about them, and I {write|compose} music from words, pictures, clips or other music.",)
REFUSAL = ("I can only speak about music. {Ask me about a recording, or for a piece.|Play me a recording, or ask me for a piece.|But I would gladly play you something.|Shall I play something instead?|What would you like to hear?}",)
LORE_FRAMES = ("Tell me about {thing}.", "{Can|Could} you explain {thing}?", "I {want|would like} to know what {thing} is.", "Do you know {thing}?", "{thing}?",
               "What do you know about {thing}?", "Teach me about {thing}.", "What exactly is {thing}?", "Say something about {thing}.")
LORE = (  # question patterns, answer
    (("Can you sing{| for me}?", "{Do you|Will you|Would you} sing{| something| a song| for me}?", "Sing {something|a song|for me}."), "I cannot sing, but I can play: ask me for a melody."),
    (("Are you {human|real|alive|a machine|a robot|a person|an AI}?", "Is there {a human|a musician|somebody} {in there|behind this}?", "Who made you?"), "I am a small program that hears music and makes it, note by note."),
    (("What is a waltz?", "{Explain|Define} {the |a |}waltz.", "How does a waltz go?"), "A dance with three beats in a bar, the first one strong."),
    (("What is a ballad?", "{Explain|Define} {the |a |}ballad.", "What makes a ballad?"), "A slow song with a long, singing melody."),
    (("What is swing?", "{Explain|Define} swing.", "What does swing mean{| in jazz}?"), "Jazz in which the offbeats come late, long and short in turn."),
    (("What is ambient music?", "{Explain|Define} ambient{| music}.", "What does ambient mean?"), "Slow, quiet music of long sounds, more a place than a song."),
    (("What is dance music?", "{Explain|Define} dance music.", "What makes music danceable?"), "Music with a steady kick on every beat, made for moving."),
    (("What is rock{| music}?", "{Explain|Define} rock music.", "What makes a rock song?"), "Loud music with guitars, bass and drums, a snare on two and four."),
    (("What {does bpm mean|is bpm|are bpm}?", "{Explain|Define} bpm.", "What are beats per minute?"), "Beats per minute: how many beats pass in one minute."),
    (("What is {the |}tempo?", "{Explain|Define} tempo.", "What does tempo mean?"), "The speed of the beat, counted in beats per minute."),
    (("What is {a |the |}metre?", "{Explain|Define} metre.", "What does a time signature {mean|say}?"), "It says how many beats make a bar, three or four for example."),
    (("What is a major {key|scale}?", "{Explain|Define} major.", "How is major built?"), "A scale with a large third above its first note; it sounds bright."),
    (("What is a minor {key|scale}?", "{Explain|Define} minor.", "How is minor built?"), "A scale with a small third above its first note; it sounds dark."),
    (("What is the difference between major and minor?", "How do major and minor differ?", "Major versus minor?"), "The third: large in major, which sounds bright, small in minor, which sounds dark."),
    (("What is a chord?", "{Explain|Define} chord.", "What are chords?"), "Three or more notes that sound together."),
    (("What is a melody?", "{Explain|Define} melody.", "What makes a melody?"), "A line of single notes that one can sing."),
    (("What is harmony?", "{Explain|Define} harmony.", "What does harmony mean?"), "The chords under a melody and how they follow each other."),
    (("What is {a |}rhythm?", "{Explain|Define} rhythm.", "What does rhythm mean?"), "The pattern of long and short notes over the beat."),
    (("What is an octave?", "{Explain|Define} octave.", "How big is an octave?"), "The distance to the same note above: twice the frequency."),
    (("What is a {scale|key}?", "{Explain|Define} scale.", "What are scales?"), "A ladder of notes, seven in major and minor, around a home note."),
    (("What is a cadence?", "{Explain|Define} cadence.", "How do phrases end?"), "The chords that close a phrase, often the fifth and then the home chord."),
    (("What is a bass line?", "What does {the |a |}bass do?", "{Explain|Define} bass line."), "The lowest line; it carries the roots of the chords."),
    (("What is an accompaniment?", "{Explain|Define} accompaniment.", "What does the accompaniment do?"), "The chords and bass that support a melody."),
    (("How many strings has a violin?", "How many strings {are on a violin|does a violin have}?", "Number of strings of a violin?"), "Four: G, D, A and E."),
    (("How many strings has a guitar?", "How many strings {are on a guitar|does a guitar have}?", "Number of strings of a guitar?"), "Six: E, A, D, G, B and E."),
    (("How many strings has a cello?", "How many strings {are on a cello|does a cello have}?", "Number of strings of a cello?"), "Four: C, G, D and A."),
    (("How many keys has a piano?", "How many keys {are on a piano|does a piano have}?", "Number of keys of a piano?"), "Eighty-eight: 52 white and 36 black."),
    (("How many strings has a harp?", "How many strings {are on a harp|does a harp have}?", "Number of strings of a harp?"), "A concert harp has 47."),
    (("What is a marimba?", "{Explain|Describe} the marimba.", "How does a marimba work?"), "Wooden bars over tubes, struck with soft mallets."),
    (("What is a saxophone?", "{Explain|Describe} the saxophone.", "How does a saxophone work?"), "A brass wind instrument with a single reed, at home in jazz."),
    (("What is a clarinet?", "{Explain|Describe} the clarinet.", "How does a clarinet work?"), "A wooden wind instrument with a single reed and a mellow low register."),
    (("What is a synthesizer?", "{Explain|Describe} the synthesizer.", "How does a synthesizer work?"), "An instrument that makes its sound from electric waves."),
    (("What is an organ?", "{Explain|Describe} the organ.", "How does an organ work?"), "Keys that let air into pipes, one for every note and colour."),
    (("What is a flute?", "{Explain|Describe} the flute.", "How does a flute work?"), "A tube blown across a hole; the breath itself is the reed."),
    (("What is a trumpet?", "{Explain|Describe} the trumpet.", "How does a trumpet work?"), "A brass tube with three valves, sounded by the lips."),
    (("What is 3/4{| time}?", "{Explain|Define} 3/4.", "What does 3/4 mean?"), "Three quarter notes in a bar, as in a waltz."),
    (("What is 4/4{| time}?", "{Explain|Define} 4/4.", "What does 4/4 mean?"), "Four quarter notes in a bar, the most common metre."),
    (("What is jazz?", "{Explain|Define} jazz.", "Where does jazz come from?"), "Music of swing, blues and improvisation, born in New Orleans."),
    (("Who was {Bach|Johann Sebastian Bach}?", "Tell me about Bach.", "When did Bach live?"), "Johann Sebastian Bach, 1685 to 1750, composer of fugues, cantatas and passions."),
    (("Who was {Mozart|Wolfgang Amadeus Mozart}?", "Tell me about Mozart.", "When did Mozart live?"), "Wolfgang Amadeus Mozart, 1756 to 1791, composer of operas, symphonies and concertos."),
    (("Who was {Beethoven|Ludwig van Beethoven}?", "Tell me about Beethoven.", "When did Beethoven live?"), "Ludwig van Beethoven, 1770 to 1827, composer of nine symphonies."),
    (("Who was {Chopin|Frederic Chopin}?", "Tell me about Chopin.", "When did Chopin live?"), "Frederic Chopin, 1810 to 1849, composer for the piano."),
)
EMPTY = "Ask me about a recording, or for a piece of music."
TOO_FAST = ("I am not so fast as {wanted} beats per minute, so I take {tempo} beats per minute.", "I cannot play {wanted} beats per minute, so I take {tempo} beats per minute.", "I cannot go as fast as {wanted}, so I take {tempo} beats per minute.")
TOO_SLOW = ("I am not so slow as {wanted} beats per minute, so I take {tempo} beats per minute.", "I cannot play {wanted} beats per minute, so I take {tempo} beats per minute.", "I cannot go as slow as {wanted}, so I take {tempo} beats per minute.")
NO_INSTRUMENT = ("I have no {wanted}, so I take the {lead}.", "I have no {wanted}: the {lead} is nearest, so I take the {lead}.", "I do not have the {wanted}, so I take the {lead}.", "I cannot play the {wanted}, so I take the {lead}.")
NEAR_GENRE = ("I have no real {wanted}, so I take {nearest}.", "I have no {wanted}: {nearest} is nearest.", "I do not know {wanted} well, so I take {nearest}.", "I cannot play true {wanted}; {nearest} comes nearest.", "I know no {wanted} as such, so I take {nearest}.")
NO_GENRE = ("I have no {wanted}, so I take {nearest}.", "I cannot play {wanted}, so I take {nearest}.", "I do not know how to play {wanted}, so I take {nearest}.", "I have no {wanted} and nothing like it, so I take {nearest}.")
NO_MODE = ("I know only major and minor, no {wanted}, so I take {mode}.", "I have no {wanted} scale, so I take {mode}.", "I cannot play in {wanted}, so I take {mode}.")
NO_METRE = ("I cannot count {wanted}, only three or four, so I take {metre}/4.", "I count in three or four, not in {wanted}, so I take {metre}/4.", "I have no {wanted}, so I take {metre}/4.")
NO_VOICE = ("I cannot sing ({wanted}), so the {lead} takes the melody.", "I have no {wanted}, so the {lead} takes the melody.", "I cannot do {wanted}: I have no voice, so the {lead} takes the melody.")
NO_ORCHESTRA = "I am a small band, so the {lead} takes the melody over strings."
NO_ENSEMBLE = ("I have no {wanted}, so the {lead} takes the melody over strings.", "I am no {wanted}, so the {lead} takes the melody over strings.")
NOT_ALONE = ("I cannot play {wanted}, so the {lead} plays along.", "I have no way to play {wanted}, so the {lead} plays over them.")
NOT_SOLO = ("I cannot play a melody alone: chords and a bass always go with it.", "I cannot leave out the accompaniment, but there are no drums.")
NO_KEY = "I know no key called {wanted}, so I take {key}."
UNKNOWN_WORD = ("I do not know the word {wanted}, so I leave it out.", "I did not understand '{wanted}'.", "I do not know what {wanted} means in music.", "I cannot make sense of '{wanted}', so I leave it out.")
ANNOUNCEMENTS = ("{caption}.", "{caption}.", "Here is {lower}.", "Here you are: {lower}.", "I play {lower}.", "This is {lower}.", "Coming up: {lower}.", "You get {lower}.")
NO_SILENCE = "I cannot play silence, so I take something quiet."
LENGTH = "The length is for the length setting to say."
TOO_LONG = "That is longer than I can play; the length setting decides."
UNKNOWN_ANSWERS = ("I do not know that: I know sounds better than names. {Ask me about a recording, or for a piece|Play me a recording, or ask me for a piece}.",)
GIBBERISH_ANSWERS = ("I did not understand that. {Ask me about a recording, or for a piece of music|Try a question about a recording, or ask me for a piece}.",)
NO_NAME = "I cannot name songs or people, but I hear this:"
NOTHING = {  # kind of recording -> what it is called
    "noise": ("{That is|This is|I hear} only noise: there is no music in it.",),
    "silence": ("{That is|This is|I hear} only silence: there is nothing to hear in it.",),
    "speech": ("{That is|This is|I hear} only speech, somebody talking: there is no music in it.",),
}
NOTHING_TO_CHANGE = {"noise": "That is only noise, so there is no music to change.", "silence": "That is only silence, so there is no music to change.",
                     "speech": "That is only speech, somebody talking, so there is no music to change."}
