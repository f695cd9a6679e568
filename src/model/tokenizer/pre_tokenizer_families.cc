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

// DeepSeek lists ranges of letters that have case.
constexpr std::string_view kDeepseekLetters =
    "\\s?["
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293"
    "\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C"
    "\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5"
    "\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59"
    "\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC"
    "\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107"
    "\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE"
    "\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E"
    "\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A"
    "\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
    "\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
    "]+";
constexpr std::string_view kDeepseekPunctuation =
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
constexpr std::string_view kDeepseekCjk = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
constexpr std::string_view kDeepseek3Cjk = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr std::string_view kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kBloom = " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+";

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
