// Ids that another project's tokenizers wrote, matched from every kind of file.
#include "tests/model/tokenizer/test_tokenizers.h"

namespace brisk {
namespace {

struct Source {
  std::string tokenizer;  // file or directory
  std::string cases;      // .inp and .out without their endings
};

void PrintTo(const Source& source, std::ostream* out) { *out << source.tokenizer; }

std::vector<std::string> read_inputs(const std::string& path) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string all = contents_of(path);
  std::vector<std::string> inputs;
  size_t at = 0;
  for (size_t end = all.find(separator); end != all.npos; end = all.find(separator, at)) {
    inputs.push_back(all.substr(at, end - at));
    at = end + separator.size();
  }
  return inputs;
}

std::vector<std::vector<int32_t>> read_outputs(const std::string& path) {
  std::vector<std::vector<int32_t>> outputs;
  std::istringstream lines(contents_of(path));
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::vector<int32_t> ids;
    for (int32_t id = 0; words >> id;) ids.push_back(id);
    outputs.push_back(ids);
  }
  return outputs;
}

class Vectors : public testing::TestWithParam<Source> {};

TEST_P(Vectors, MatchToTheId) {
  const Source& source = GetParam();
  if (!has_data(source.tokenizer)) GTEST_SKIP() << "no " << data_path(source.tokenizer);
  const auto tokenizer = source.tokenizer.ends_with(".gguf") ? open_gguf_tokenizer(source.tokenizer)
                                                             : open_tokenizer(source.tokenizer);
  ASSERT_NE(tokenizer, nullptr);
  const auto inputs = read_inputs(data_path(source.cases + ".inp"));
  const auto outputs = read_outputs(data_path(source.cases + ".out"));
  ASSERT_GT(inputs.size(), 40U);
  ASSERT_EQ(inputs.size(), outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<int32_t> ids = tokenizer->encode(inputs[i], kPlain);
    EXPECT_EQ(ids, outputs[i]) << "case " << i << ": \"" << inputs[i] << '"';
    EXPECT_EQ(tokenizer->decode(ids, false), inputs[i]) << "case " << i;
  }
}

constexpr char kGpt2Cases[] = "tokenizers/gpt2/ggml-vocab-gpt-2.gguf";
constexpr char kLlama2Cases[] = "tokenizers/llama2/ggml-vocab-llama-spm.gguf";
constexpr char kLlama3Cases[] = "tokenizers/llama3/ggml-vocab-llama-bpe.gguf";
constexpr char kPhi3Cases[] = "tokenizers/phi3/ggml-vocab-phi-3.gguf";
constexpr char kQwen2Cases[] = "tokenizers/qwen2/ggml-vocab-qwen2.gguf";

INSTANTIATE_TEST_SUITE_P(
    Files, Vectors,
    testing::Values(Source{"tokenizers/gpt2/ggml-vocab-gpt-2.gguf", kGpt2Cases},
                    Source{"tokenizers/llama2/ggml-vocab-llama-spm.gguf", kLlama2Cases},
                    Source{"tokenizers/phi3/ggml-vocab-phi-3.gguf", kPhi3Cases},
                    Source{"tokenizers/gpt2/encoder.json", kGpt2Cases},
                    Source{"tokenizers/gpt2/vocab.bpe", kGpt2Cases},
                    Source{"tokenizers/gpt2", kGpt2Cases},
                    Source{"tokenizers/llama2/tokenizer.model", kLlama2Cases},
                    Source{"tokenizers/llama2/tokenizer.bin", kLlama2Cases},
                    Source{"tokenizers/llama2/tokenizer.json", kLlama2Cases},
                    Source{"tokenizers/llama2", kLlama2Cases},
                    Source{"tokenizers/llama3/tokenizer.model", kLlama3Cases},
                    Source{"tokenizers/phi3/tokenizer.json", kPhi3Cases},
                    Source{"tokenizers/qwen2/qwen.tiktoken", kQwen2Cases},
                    Source{"tokenizers/qwen2", kQwen2Cases}));

}  // namespace
}  // namespace brisk
