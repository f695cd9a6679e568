#include "tests/model/tokenizer/sentencepiece_oracle.h"

#ifdef BRISK_HAS_SENTENCEPIECE

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

namespace brisk {
namespace {

class Library final : public SentencePieceOracle {
 public:
  bool load_model(std::string_view model) {
    return processor_.LoadFromSerializedProto({model.data(), model.size()}).ok();
  }

  std::vector<int> encode(std::string_view text) const override {
    std::vector<int> ids;
    return processor_.Encode({text.data(), text.size()}, &ids).ok() ? ids : std::vector<int>();
  }

  std::string decode(const std::vector<int>& ids) const override {
    std::string text;
    return processor_.Decode(ids, &text).ok() ? text : std::string();
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
};

class Sentences final : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& sentences_;
  size_t at_ = 0;
};

}  // namespace

std::unique_ptr<SentencePieceOracle> SentencePieceOracle::load(std::string_view model) {
  auto library = std::make_unique<Library>();
  if (!library->load_model(model)) return nullptr;
  return library;
}

std::string train_sentencepiece(const std::string& arguments,
                                const std::vector<std::string>& sentences) {
  Sentences iterator(sentences);
  std::string model;
  const auto status =
      sentencepiece::SentencePieceTrainer::Train("--minloglevel=2 " + arguments, &iterator, &model);
  return status.ok() ? model : std::string();
}

}  // namespace brisk

#else

namespace brisk {

std::unique_ptr<SentencePieceOracle> SentencePieceOracle::load(std::string_view) { return nullptr; }

std::string train_sentencepiece(const std::string&, const std::vector<std::string>&) { return {}; }

}  // namespace brisk

#endif
