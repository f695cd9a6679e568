// The patterns as the models' own files have them. Each takes linear time on any text: where one
// alternative runs over characters and then fails, the next one consumes that run.
#include <array>

#include "model/tokenizer/pre_tokenizer.h"

namespace brisk {
namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
    R"(|\s*[\r\n]|\s+(?!\S)|\s+)";

// DeepSeek writes letters of scripts with case as a list of ranges.
constexpr std::string_view kDeepseekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ)"
    R"(Ḁ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤ)"
    R"(Ⳬ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepseekPunctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr std::string_view kDeepseekCjk = "[一-龥ࠀ-一가-퟿]+";
constexpr std::string_view kDeepseek3Cjk = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

const std::array kFamilies = {
    PreTokenizerFamily{
        .names =
            {"gpt-2",        "gpt2",       "phi-2",   "jina-es",  "jina-de",         "gigachat",
             "jina-v2-es",   "jina-v2-de", "a.x-4.0", "mellum",   "modern-bert",     "exaone4",
             "mpt",          "olmo",       "jais",    "trillion", "granite-docling", "jina-v1-en",
             "jina-v2-code", "roberta-bpe"},
        .patterns = {kGpt2}},
    PreTokenizerFamily{.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1",
                                 "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"},
                       .patterns = {kLlama3},
                       .ignore_merges = true,
                       .add_bos = true},
    PreTokenizerFamily{.names = {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"},
                       .patterns = {kLlama3}},
    PreTokenizerFamily{.names = {"qwen2"}, .patterns = {kQwen2}, .nfc = true},
    PreTokenizerFamily{.names = {"deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "grok-2",
                                 "solar-open", "kormo", "f2llmv2"},
                       .patterns = {kQwen2}},
    PreTokenizerFamily{.names = {"qwen35"}, .patterns = {kQwen35}, .nfc = true},
    PreTokenizerFamily{.names = {"gpt-4o", "llama4", "kanana2", "minimax-m2"},
                       .patterns = {kGpt4o}},
    PreTokenizerFamily{
        .names = {"tekken"}, .patterns = {kTekken}, .ignore_merges = true, .add_bos = true},
    PreTokenizerFamily{.names = {"smollm", "starcoder", "refact", "command-r", "codeshell",
                                 "exaone", "minerva-7b", "mellum2"},
                       .patterns = {R"(\p{N})", kGpt2}},
    PreTokenizerFamily{
        .names = {"default"},
        .patterns = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    PreTokenizerFamily{.names = {"falcon"},
                       .patterns = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}},
    PreTokenizerFamily{.names = {"deepseek-llm"},
                       .patterns = {R"([\r\n])", kDeepseekLetters, kDeepseekPunctuation, R"(\s+$)",
                                    kDeepseekCjk, R"(\p{N}+)"}},
    PreTokenizerFamily{
        .names = {"deepseek-coder"},
        .patterns = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepseekCjk, R"(\p{N})"}},
    PreTokenizerFamily{.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
                       .patterns = {R"(\p{N}{1,3})", kDeepseek3Cjk, kDeepseek3}},
    PreTokenizerFamily{.names = {"poro-chat", "bloom", "gpt3-finnish"}, .patterns = {kBloom}},
    PreTokenizerFamily{.names = {"viking"}, .patterns = {kBloom, R"(\p{N})"}},
    PreTokenizerFamily{.names = {"bailingmoe", "bailingmoe2", "llada-moe"}, .patterns = {kBailing}},
    PreTokenizerFamily{.names = {"seed-coder"}, .patterns = {kSeedCoder}},
};

}  // namespace

std::span<const PreTokenizerFamily> pre_tokenizer_families() { return kFamilies; }

const PreTokenizerFamily* find_pre_tokenizer_family(std::string_view name) {
  for (const PreTokenizerFamily& family : kFamilies) {
    for (const std::string_view known : family.names) {
      if (known == name) return &family;
    }
  }
  return nullptr;
}

}  // namespace brisk
