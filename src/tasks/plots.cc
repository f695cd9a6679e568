#include "tasks/plots.h"

#include <array>

namespace brisk::tasks {
namespace {

using std::string_view;

constexpr auto kOpenings = std::to_array<string_view>({
    "Once upon a time[, there was| there lived] {kind} named {hero}. {Hero} [lived|had a home] "
    "near "
    "the {place}.",
    "Once there was {kind} named {hero}[.|, who loved to play.| with a kind heart.]",
    "{Hero} was {kind}. [Every day {he} played near the {place}.|{He} lived in a small house near "
    "the {place}.|{His} best friend was {friend}.]",
    "[In a small town|Far away|Near the {place}] there lived {kind} named {hero}. [{He} was happy, "
    "but sometimes {he} felt alone.|{He} liked to sing and to run.|Everyone liked {him}.]",
    "One [sunny|warm|bright|cold|quiet] [day|morning|afternoon], {kind} named {hero} went to the "
    "{place}.",
    "Long ago, {kind} named {hero} lived [by the {place}|near the {place}] with {his} [mother|old "
    "grandmother|two sisters|family].",
});

constexpr auto kEndings = std::to_array<string_view>({
    "[They|{Hero} and {friend}] were best friends from that day on.",
    "{Hero} went home and told {his} mother all about it. [She smiled.|She was proud of {him}.]",
    "That night {hero} slept well[.| and dreamed of the {place}.| under a soft blanket.]",
    "[And so the day ended well.|It was a very good day.|What a day it had been!]",
    "They [laughed|danced|sang] until the sun went down.",
    "From then on, {hero} [always helped others|was never alone again|smiled every day].",
    "{Hero} was [happy|glad|full of joy] and said, \"[Thank you|I will never forget this day|This "
    "is the best day], {friend}!\"",
    "The end of the day was [quiet|warm|golden], and everyone was happy.",
});

constexpr auto kLost = std::to_array<string_view>({
    "{Hero} had a {colour} {object}. [{He} loved it very much.|It was {his} favourite thing.|{He} "
    "took it everywhere.]",
    "[One day|Then|That morning], the {object} was gone. {Hero} [looked under the bed and behind "
    "the door|looked everywhere|searched all day], but {he} could not find it.",
    "[{Hero} began to cry.|{Hero} was very sad.|\"Oh no! Where is my {object}?\" {hero} cried.]",
    "{Friend} [heard {him} and came|came by|saw {him}]. \"[What is wrong?|Why are you sad?|Can I "
    "help you?]\" [asked {friend}|{fhe} asked].",
    "\"I [lost|cannot find] my {object},\" said {hero}. \"[Let us look together|We will find "
    "it|Do not worry, I will help you],\" {friend} said.",
    "They [went|walked|ran] to the {place}. [There, behind a big tree, lay the {colour} "
    "{object}.|They looked in the grass, and there it was!|{Friend} saw something {colour} under "
    "a stone. It was the {object}!]",
    "\"[You found it!|Hooray!|There it is!]\" {hero} [shouted|cried|said]. [{He} gave {friend} a "
    "big hug.|{He} thanked {friend}.]",
});

constexpr auto kStuck = std::to_array<string_view>({
    "{Hero} was playing with {his} {colour} {object} [at|near] the {place}. [{Friend} played "
    "too.|{Friend} watched.]",
    "[Suddenly|Then] [a strong wind came and took the {object}|{hero} threw the {object} too "
    "high]. "
    "It got stuck in a [tall|big|high] tree.",
    "{Hero} jumped and jumped, but [the tree was too tall|{he} was too small|{he} could not reach "
    "it].",
    "\"[What can we do?|How can we get it down?]\" {hero} asked. {Friend} [thought for a "
    "while|looked up|had an idea].",
    "\"[I know!|Wait!|Listen!] [You stand on my back|We can shake the tree|Let us use a long "
    "stick],\" said {friend}.",
    "They tried [it|once, twice and a third time]. [Down came the {object}!|At last the {object} "
    "fell down.|The {object} fell right into the hands of {hero}.]",
    "[\"We did it together!\" they cried.|{Hero} was so glad.|\"You are very clever,\" said "
    "{hero}.]",
});

constexpr auto kShare = std::to_array<string_view>({
    "One day {hero} found a {colour} {object} near the {place}. [It was new and "
    "bright.|{He} wanted to keep it.|It was the nicest {object} {he} had ever seen.]",
    "{Friend} saw it too. \"[That is mine!|I want it!|Give it to me!]\" said {friend}.",
    "\"[No, I found it first|It is not yours|I saw it first],\" {hero} said. [They pulled and "
    "pulled.|They were both angry.|They shouted at each other.]",
    "[Then|After a while] {hero} [stopped|thought about it|saw that {friend} was crying]. {He} "
    "[felt "
    "bad|was sorry].",
    "\"[We can share it|You may play with it first|Let us play together],\" {hero} said.",
    "{Friend} smiled. \"[Thank you|That is kind of you|You are a good friend],\" {fhe} said. [They "
    "took turns with the {object}.|They played with the {object} all day.]",
});

constexpr auto kRain = std::to_array<string_view>({
    "{Hero} wanted to go to the {place} with {friend}. [They had made a plan.|{He} had waited all "
    "week.|{He} was very excited.]",
    "But [when {he} woke up, it rained|dark clouds came and it began to rain|the sky was grey and "
    "the rain fell]. \"[Oh no!|Now we cannot go!|What a bad day!]\" said {hero}.",
    "{Friend} came [in|to the door] with wet feet. \"[Do not be sad|It is only rain|We can still "
    "have fun],\" {fhe} said.",
    "[They built a tent from old blankets.|They made a boat from paper and let it swim in the "
    "rain.|They baked a cake and ate it all.] [It was so much fun.|They laughed a lot.]",
    "[In the evening|Later|At last] the rain stopped and [the sun came out|there was a rainbow in "
    "the sky]. \"[Look!|How pretty!|Look at that!]\" cried {hero}.",
    "\"[The rain was not so bad|I like rainy days now|Today was better than the {place}],\" {hero} "
    "said, and {friend} [laughed|agreed].",
});

constexpr auto kDark = std::to_array<string_view>({
    "{Hero} was afraid of [the dark|the night]. [When the sun went down, {he} hid in {his} "
    "bed.|Every night {he} was scared.]",
    "One night {he} heard a [strange|small|soft] [sound|noise] [outside|near the {place}]. \"[Who "
    "is there?|What was that?]\" {hero} whispered.",
    "[{He} wanted to hide, but {he} was brave.|{His} heart beat fast, but {he} took a lamp and "
    "went "
    "to see.|{He} took a deep breath and opened the door.]",
    "There [sat|stood] {a_helper}[. It was lost and cold.|. It was more afraid than {hero}.|. It "
    "could not find its way home.]",
    "\"[Do not be afraid|Come with me|I will help you],\" said {hero}. {He} [took the {helper} "
    "home|showed the {helper} the way|gave the {helper} some warm milk].",
    "[On the way back, {hero} looked up. The stars were bright and pretty.|The moon was big and "
    "the "
    "night was quiet.] {He} was not afraid [any more|now].",
});

constexpr auto kHelp = std::to_array<string_view>({
    "One day {hero} walked to the {place}. [On the way|There] {he} [saw|met|found] {a_helper}.",
    "The {helper} [was stuck in the mud|had hurt its leg|was very hungry|could not cross the "
    "water]. "
    "\"[Please help me!|Can you help me?|Help!]\" it [said|cried].",
    "{Hero} did not [wait|run away]. {He} [pulled as hard as {he} could|gave the {helper} some "
    "bread and water|carried the {helper} home and cared for it].",
    "Soon the {helper} was [free|well|happy] again. \"[Thank you|You are kind], {hero},\" it said. "
    "\"One day I will help you too.\"",
    "[Some days later|The next day|Weeks later] {hero} [lost {his} way in the dark|fell into a "
    "deep "
    "hole|could not find {his} home]. {He} called, but nobody came.",
    "[Then|Suddenly] the {helper} came. It [showed {him} the way|brought {friend} to help|pulled "
    "{him} out]. \"[Now I have helped you|You helped me, and I help you],\" said the {helper}.",
});

constexpr auto kLearn = std::to_array<string_view>({
    "{Hero} wanted to learn to [swim|dance|sing|ride a horse|play the drum]. [But it was very "
    "hard.|But {he} did not know how.]",
    "[The first time, {he} fell down.|{He} tried and tried, but it went wrong.|The others laughed "
    "at "
    "{him}.] \"[I will never learn it|I cannot do it|It is too hard],\" {hero} said.",
    "{Friend} [sat down beside {him}|shook {fhis} head|smiled]. \"[Try again|Do not give up|Every "
    "day "
    "a little],\" {fhe} said. \"I will [help|show|teach] you.\"",
    "So {hero} [practised every day near the {place}|tried again the next day|worked hard, day "
    "after "
    "day]. [Slowly it got better.|Each day it went a little better.]",
    "[One morning|At last] {he} could do it! [Everyone at the {place} clapped.|Even {his} mother "
    "came "
    "to see.] \"[Look, I can do it!|See? I did it!]\" {hero} [shouted|cried].",
    "\"I [knew|always knew] you could,\" said {friend}.",
});

constexpr auto kGift = std::to_array<string_view>({
    "It was the birthday of {friend}. {Hero} wanted to give {fhim} [something nice|a gift], but "
    "{he} had no money.",
    "{He} [sat down and thought|walked to the {place} to think]. Then {he} had an idea: {he} would "
    "make a {colour} {object}.",
    "{Hero} worked [all day|all morning|until late]. [The {object} was not perfect, but it was "
    "pretty.|In the end the {object} was done.]",
    "But on the way {he} fell, and the {object} broke. [{Hero} cried.|\"Now I have no gift,\" "
    "{he} said.|{He} was so sad.]",
    "{Friend} saw [it|the pieces] and [laughed kindly|smiled]. \"[You made this for me?|Did you "
    "make "
    "this?] [We can fix it together|It is still the best gift|I love it],\" {fhe} said.",
    "[They fixed it with some glue and ate cake.|Together they made it whole again.] The {object} "
    "[stands in the house of {friend} to this day|was nicer than before].",
});

constexpr std::array kPlots = {
    Plot{true, kLost},  Plot{true, kStuck}, Plot{true, kShare},  Plot{false, kRain},
    Plot{false, kDark}, Plot{false, kHelp}, Plot{false, kLearn}, Plot{true, kGift},
};

}  // namespace

std::span<const Plot> plots() { return kPlots; }
std::span<const std::string_view> openings() { return kOpenings; }
std::span<const std::string_view> endings() { return kEndings; }

}  // namespace brisk::tasks
