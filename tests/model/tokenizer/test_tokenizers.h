// Real tokenizers for tests, and texts to try them on.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/checkpoint/checkpoint.h"
#include "model/tokenizer/read_tokenizer.h"
#include "model/tokenizer/tokenizer.h"

namespace brisk {

inline std::string data_path(const std::string& name) { return BRISK_DATA_DIR "/" + name; }

inline bool has_data(const std::string& name) { return std::filesystem::exists(data_path(name)); }

inline std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

inline std::unique_ptr<const Tokenizer> tokenizer_of(absl::StatusOr<TokenizerData> data) {
  if (!data.ok()) {
    ADD_FAILURE() << message_of(data.status());
    return nullptr;
  }
  auto tokenizer = Tokenizer::create(std::move(*data));
  if (!tokenizer.ok()) {
    ADD_FAILURE() << message_of(tokenizer.status());
    return nullptr;
  }
  return std::move(*tokenizer);
}

// The tokenizer in the file or directory `name` of the test data.
inline std::unique_ptr<const Tokenizer> open_tokenizer(const std::string& name) {
  return tokenizer_of(read_tokenizer(data_path(name)));
}

// The tokenizer inside the GGUF file `name` of the test data.
inline std::unique_ptr<const Tokenizer> open_gguf_tokenizer(const std::string& name) {
  const auto checkpoint = open_checkpoint(data_path(name));
  if (!checkpoint.ok()) {
    ADD_FAILURE() << message_of(checkpoint.status());
    return nullptr;
  }
  return tokenizer_of((*checkpoint)->tokenizer);
}

// Text alone: no tokens around it, none parsed out of it.
inline constexpr EncodeOptions kPlain = {.add_special = false, .parse_special = false};

// Texts in many scripts, with the characters that tokenizers stumble over.
inline std::vector<std::string> multilingual_texts() {
  return {
      "",
      " ",
      "a",
      "Hello, world! How's it going? I'M fine, YOU'RE not.",
      "  two  spaces   three \t tabs\t\tand\r\nnewlines\n\n\n",
      "Die Straße führt über Köln; naïve façade, coöperate, Ångström.",
      "Съешь же ещё этих мягких французских булок, да выпей чаю.",
      "色は匂へど散りぬるを。我が世誰ぞ常ならむ。ｶﾞｷﾞｸﾞ ＡＢＣ１２３",
      "天地玄黄,宇宙洪荒。日月盈昃,辰宿列张。",
      "키스의 고유조건은 입술끼리 만나야 하고",
      "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
      "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה",
      "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का",
      "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
      "Zażółć gęślą jaźń 0123456789 3.14159 1,000,000 ½ ² Ⅷ",
      "🦙🚀 👩‍👩‍👧‍👦 🏳️‍🌈 \u00E9 e\u0301 ﬁ ﷺ "
      "\xC2\xA0nbsp\xE2\x80\x8Bzwsp\xE1\xA0\x8Emvs",
      "def f(x):\n    return {\"a\": [1, 2, x ** 2], 'b': None}  # comment\n\n\nclass A: pass",
      "https://example.com/a?b=c&d=%20#frag user@host.tld C:\\dir\\file.txt",
      "\xE2\x96\x81 the space symbol itself \xE2\x96\x81\xE2\x96\x81",
  };
}

}  // namespace brisk
