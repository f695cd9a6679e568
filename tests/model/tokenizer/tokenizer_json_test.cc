// What a tokenizer.json can say, each thing on a vocabulary small enough to do by hand.
#include <gmock/gmock.h>

#include "base/json.h"
#include "tests/model/tokenizer/test_tokenizers.h"

namespace brisk {
namespace {

using Ids = std::vector<int32_t>;
using testing::HasSubstr;

// A byte-level BPE tokenizer: " hello", " world", digits and specials.
Json byte_level_json() {
  Json json = Json::parse(R"json({
    "added_tokens": [
      {"id": 300, "content": "<|end|>", "special": true, "normalized": false,
       "single_word": false, "lstrip": false, "rstrip": false}
    ],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": {"type": "ByteLevel"},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {}, "merges": []}
  })json");
  Json& vocab = json["model"]["vocab"];
  // The alphabet, in the order of its characters: "!" is 0, "a" is 64, U+0120 (the space) is 220.
  int32_t id = 0;
  const auto add = [&](uint32_t code) {
    std::string text;
    if (code < 0x80) {
      text.push_back(static_cast<char>(code));
    } else {
      text.push_back(static_cast<char>(0xC0 | code >> 6));
      text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
    vocab[text] = id++;
  };
  for (uint32_t code = 0x21; code <= 0x7E; ++code) add(code);
  for (uint32_t code = 0xA1; code <= 0xFF; ++code) {
    if (code != 0xAD) add(code);
  }
  for (uint32_t code = 0x100; code < 0x144; ++code) add(code);
  const auto merge = [&](const std::string& left, const std::string& right) {
    json["model"]["merges"].push_back(left + " " + right);
    vocab[left + right] = id++;
  };
  merge("h", "e");           // 256
  merge("l", "l");           // 257
  merge("he", "ll");         // 258
  merge("hell", "o");        // 259
  merge("\u0120", "hello");  // 260
  return json;
}

std::unique_ptr<const Tokenizer> load(const Json& json) {
  return tokenizer_of(read_tokenizer_bytes(to_text(json)));
}

Ids encode(const Json& json, std::string_view text, EncodeOptions options = kPlain) {
  const auto tokenizer = load(json);
  return tokenizer == nullptr ? Ids{} : tokenizer->encode(text, options);
}

Json added(int32_t id, std::string content, Json flags) {
  flags["id"] = id;
  flags["content"] = std::move(content);
  return flags;
}

constexpr EncodeOptions kParse = {.add_special = false, .parse_special = true};

TEST(TokenizerJson, MergesByRankWithinWords) {
  const Json json = byte_level_json();
  EXPECT_EQ(encode(json, "hello hello"), (Ids{259, 260}));
  EXPECT_EQ(encode(json, "hell hel"), (Ids{258, 220, 256, 75}));
  EXPECT_EQ(load(json)->decode({259, 260}, false), "hello hello");
}

TEST(TokenizerJson, MergesMayBePairs) {
  Json json = byte_level_json();
  Json pairs = Json::array();
  for (const Json& merge : json["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    pairs.push_back({text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)});
  }
  json["model"]["merges"] = pairs;
  EXPECT_EQ(encode(json, "hello hello"), (Ids{259, 260}));
}

TEST(TokenizerJson, IgnoreMergesPrefersWholeWords) {
  Json json = byte_level_json();
  json["model"]["vocab"]["lo"] = 261;
  EXPECT_EQ(encode(json, "lo"), (Ids{75, 78}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(encode(json, "lo"), (Ids{261}));
}

TEST(TokenizerJson, ByteLevelMayAddASpaceBeforeAText) {
  Json json = byte_level_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_EQ(encode(json, "hello"), (Ids{260}));
  EXPECT_EQ(encode(json, " hello"), (Ids{260}));
  EXPECT_EQ(encode(json, "hello<|end|>hello", kParse), (Ids{260, 300, 260}));
}

TEST(TokenizerJson, SplitsInSequence) {
  Json json = byte_level_json();
  json["pre_tokenizer"] = Json::parse(R"json({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "he"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})json");
  EXPECT_EQ(encode(json, "hello"), (Ids{256, 257, 78}));
  json["pre_tokenizer"]["pretokenizers"][0] = Json::parse(
      R"json({"type": "Split", "pattern": {"String": "."}, "behavior": "Removed"})json");
  EXPECT_EQ(encode(json, "hello.hell"), (Ids{259, 258}));
  json["pre_tokenizer"]["pretokenizers"][0] =
      Json::parse(R"json({"type": "Digits", "individual_digits": true})json");
  EXPECT_EQ(encode(json, "12"), (Ids{16, 17}));
}

TEST(TokenizerJson, SpecialTokensAreParsedOnlyWhenAsked) {
  const Json json = byte_level_json();
  EXPECT_EQ(encode(json, "hello<|end|>", kParse), (Ids{259, 300}));
  EXPECT_GT(encode(json, "hello<|end|>").size(), 2U);
  const auto tokenizer = load(json);
  EXPECT_TRUE(tokenizer->is_control(300));
  EXPECT_TRUE(tokenizer->ends_generation(300));
  EXPECT_EQ(tokenizer->find("<|end|>"), 300);
  EXPECT_EQ(tokenizer->find("<|nothing|>"), -1);
  EXPECT_EQ(tokenizer->decode({259, 300}, false), "hello");
  EXPECT_EQ(tokenizer->decode({259, 300}, true), "hello<|end|>");
  EXPECT_EQ(tokenizer->vocab_size(), 301);
}

TEST(TokenizerJson, AddedTokensFollowTheirFlags) {
  Json json = byte_level_json();
  json["added_tokens"].push_back(added(301, "<l>", {{"lstrip", true}}));
  json["added_tokens"].push_back(added(302, "<r>", {{"rstrip", true}}));
  json["added_tokens"].push_back(added(303, "word", {{"single_word", true}}));
  json["added_tokens"].push_back(added(304, "<l>more", Json::object()));
  EXPECT_EQ(encode(json, "hello \n <l>hello"), (Ids{259, 301, 259}));
  EXPECT_EQ(encode(json, "hello<r> \t\nhello"), (Ids{259, 302, 259}));
  EXPECT_EQ(encode(json, "!word!"), (Ids{0, 303, 0}));
  EXPECT_EQ(encode(json, "words").size(), 5U);
  EXPECT_EQ(encode(json, "word"), (Ids{303}));
  EXPECT_EQ(encode(json, "<l>more"), (Ids{304})) << "the longest token wins";
  EXPECT_EQ(encode(json, " <l>"), (Ids{301}));
  EXPECT_EQ(load(json)->decode({301, 259}, false), "<l>hello") << "not special, so it shows";
}

TEST(TokenizerJson, NormalizedAddedTokensAreFoundInNormalisedText) {
  Json json = byte_level_json();
  json["normalizer"] = {{"type", "Lowercase"}};
  json["added_tokens"].push_back(added(301, "<x>", {{"normalized", true}}));
  json["added_tokens"].push_back(added(302, "<y>", {{"normalized", false}}));
  EXPECT_EQ(encode(json, "HELLO<X>"), (Ids{259, 301}));
  EXPECT_EQ(encode(json, "<y>"), (Ids{302}));
  EXPECT_EQ(encode(json, "<Y>").size(), 3U);
}

TEST(TokenizerJson, NormalizersRunInOrder) {
  Json json = byte_level_json();
  json["normalizer"] = Json::parse(R"json({"type": "Sequence", "normalizers": [
      {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
      {"type": "Replace", "pattern": {"Regex": "x{2,}"}, "content": "ll"},
      {"type": "Replace", "pattern": {"String": "3"}, "content": "e"},
      {"type": "Strip", "strip_left": true, "strip_right": true}]})json");
  EXPECT_EQ(encode(json, "  H\u00C9xxxO "), (Ids{259}));
  EXPECT_EQ(encode(json, "h3xxo"), (Ids{259}));
  json["normalizer"] = {{"type", "NFKC"}};
  EXPECT_EQ(encode(json, "\uFF48\uFF45\uFF4C\uFF4Co"), (Ids{259}));
  json["normalizer"] = {{"type", "Prepend"}, {"prepend", "he"}};
  EXPECT_EQ(encode(json, "llo"), (Ids{259}));
}

TEST(TokenizerJson, TemplatesPutTokensAroundAText) {
  Json json = byte_level_json();
  json["added_tokens"].push_back(added(301, "<bos>", {{"special", true}}));
  json["post_processor"] = Json::parse(R"json({"type": "Sequence", "processors": [
      {"type": "ByteLevel"},
      {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}},
                  {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "<|end|>", "type_id": 0}}],
       "special_tokens": {"<bos>": {"id": "<bos>", "ids": [301], "tokens": ["<bos>"]},
                          "<|end|>": {"id": "<|end|>", "ids": [300], "tokens": ["<|end|>"]}}}]})json");
  EXPECT_EQ(encode(json, "hello", {}), (Ids{301, 259, 300}));
  EXPECT_EQ(encode(json, "hello"), (Ids{259}));
  const auto tokenizer = load(json);
  EXPECT_EQ(tokenizer->rules().bos, 301);
  EXPECT_EQ(tokenizer->rules().eos, 300);
  EXPECT_TRUE(tokenizer->rules().add_bos);
  Json& single = json["post_processor"]["processors"][1]["single"];
  single.insert(single.begin(), single[0]);
  EXPECT_EQ(encode(json, "hello", {}), (Ids{301, 301, 259, 300}));
  json["post_processor"] = Json::parse(
      R"json({"type": "RobertaProcessing", "sep": ["<|end|>", 300], "cls": ["<bos>", 301]})json");
  EXPECT_EQ(encode(json, "hello", {}), (Ids{301, 259, 300}));
}

// A SentencePiece model as the tokenizers library writes it.
Json pieces_json() {
  return Json::parse(R"json({
    "added_tokens": [{"id": 0, "content": "<unk>", "special": true, "normalized": false},
                     {"id": 1, "content": "<s>", "special": true, "normalized": false}],
    "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "pre_tokenizer": null,
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
              "vocab": {"<unk>": 0, "<s>": 1, "<0xC3>": 2, "<0xA9>": 3, "\u2581": 4, "a": 5,
                        "b": 6, "\u2581a": 7, "ab": 8, "\u2581ab": 9},
              "merges": ["\u2581 a", "a b", "\u2581a b"]}
  })json");
}

TEST(TokenizerJson, PiecesMergeByRankWithByteFallback) {
  const Json json = pieces_json();
  EXPECT_EQ(encode(json, "ab ab"), (Ids{9, 9}));
  EXPECT_EQ(encode(json, "a\u00E9b"), (Ids{7, 2, 3, 6}));
  EXPECT_EQ(encode(json, "a\u00FF\u00FFb"), (Ids{7, 0, 6})) << "no byte token, so unknown, once";
  EXPECT_EQ(encode(json, ""), Ids{});
  EXPECT_EQ(encode(json, "a<s>b", kParse), (Ids{7, 1, 4, 6}));
  EXPECT_EQ(load(json)->decode({9, 9, 2, 3}, false), "ab ab\u00E9");
  Json unfused = json;
  unfused["model"]["fuse_unk"] = false;
  EXPECT_EQ(encode(unfused, "\u00FF\u00FF"), (Ids{4, 0, 0}));
}

TEST(TokenizerJson, MetaspaceFollowsItsScheme) {
  Json json = pieces_json();
  json["normalizer"] = nullptr;
  const auto metaspace = [&](const char* scheme) {
    json["pre_tokenizer"] = {{"type", "Metaspace"},
                             {"replacement", "\u2581"},
                             {"prepend_scheme", scheme},
                             {"split", false}};
    return json;
  };
  EXPECT_EQ(encode(metaspace("always"), "a<s>a", kParse), (Ids{7, 1, 7}));
  EXPECT_EQ(encode(metaspace("first"), "a<s>a", kParse), (Ids{7, 1, 5}));
  EXPECT_EQ(encode(metaspace("never"), "a a", kParse), (Ids{5, 7}));
  EXPECT_EQ(encode(metaspace("always"), " a", kParse), (Ids{7})) << "the text has a space already";
}

TEST(TokenizerJson, UnigramFindsTheBestSegmentation) {
  const Json json = Json::parse(R"json({
    "added_tokens": [],
    "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": true}]},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [
        ["<unk>", 0], ["\u2581", -3.0], ["a", -2.0], ["b", -2.5], ["ab", -4.0], ["\u2581a", -4.2],
        ["aba", -4.9]]}
  })json");
  EXPECT_EQ(encode(json, "ab"), (Ids{5, 3})) << "-6.7, and not -7 or -7.5";
  EXPECT_EQ(encode(json, "  aba \n b"), (Ids{1, 6, 1, 3}));
  EXPECT_EQ(encode(json, "a\u00FF\u00FEb"), (Ids{5, 0, 3}));
}

TEST(TokenizerJson, ErrorsSayWhatIsWrong) {
  const auto error_of = [](const Json& json) {
    auto data = read_tokenizer_bytes(to_text(json));
    if (!data.ok()) return std::string(message_of(data.status()));
    const auto tokenizer = Tokenizer::create(std::move(*data));
    return tokenizer.ok() ? "" : std::string(message_of(tokenizer.status()));
  };
  Json json = byte_level_json();
  json["model"]["merges"].push_back("no such");
  EXPECT_THAT(error_of(json), HasSubstr("no such"));
  json = byte_level_json();
  json["model"]["merges"] = Json::array({"h o"});
  EXPECT_THAT(error_of(json), HasSubstr("not made of tokens"));
  json = byte_level_json();
  json["model"]["vocab"]["far"] = 1'000'000'000;
  EXPECT_THAT(error_of(json), HasSubstr("out of range"));
  json = byte_level_json();
  json["model"]["type"] = "WordPiece";
  EXPECT_THAT(error_of(json), HasSubstr("WordPiece"));
  json = byte_level_json();
  json["model"]["end_of_word_suffix"] = "</w>";
  EXPECT_THAT(error_of(json), HasSubstr("end_of_word_suffix"));
  json = byte_level_json();
  json["normalizer"] = {{"type", "Nmt"}};
  EXPECT_THAT(error_of(json), HasSubstr("Nmt"));
  json = byte_level_json();
  json["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "!"}};
  EXPECT_THAT(error_of(json), HasSubstr("base64"));
  json = byte_level_json();
  for (int i = 0; i < 12; ++i) {
    json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {json["pre_tokenizer"]}}};
  }
  EXPECT_THAT(error_of(json), HasSubstr("nested"));
  json = byte_level_json();
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"SpecialToken", {{"id", "<x>"}}}}}}};
  EXPECT_THAT(error_of(json), HasSubstr("<x>"));
}

}  // namespace
}  // namespace brisk
