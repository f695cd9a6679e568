// Teachers, pruned models, adapters.
#include "train/distill.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/train/small_run.h"
#include "train/attention_map.h"

namespace brisk::train {
namespace {

DecoderShape student_shape() {
  DecoderShape shape = tiny_shape();
  shape.dim = 32;
  shape.layers = 1;
  shape.ffn = 64;
  shape.head_dim = 8;
  return shape;
}

double divergence_from(LlamaModel& teacher, LlamaModel& student, PackedStream& stream) {
  const at::NoGradGuard no_grad;
  Distillation objective(student, {.model = &teacher, .cache = nullptr}, {.alpha = 1}, 1);
  stream.seek({});
  const Batch batch = stream.next(4);
  LossSums sums;
  objective.learn(student, batch, batch.learned(), sums);
  return sums.divergence;
}

TEST(Distillation, TheStudentComesNearerToItsTeacher) {
  const TestDirectory directory("distill");
  SmallTraining training(directory);
  const auto teacher = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
  training.train(*teacher, training.objective, 40, directory / "teacher");
  const auto student = LlamaModel::create(student_shape(), ComputeType::kF32, 8, 0.05);
  const double before = divergence_from(*teacher, *student, *training.stream);
  Distillation objective(*student, {.model = teacher.get(), .cache = nullptr},
                         {.alpha = 0.8f, .temperature = 2, .hidden_weight = 0.1f}, 1);
  training.train(*student, objective, 40, directory / "student");
  EXPECT_LT(divergence_from(*teacher, *student, *training.stream), 0.5 * before);
}

TEST(Distillation, ATeacherThatIsTheStudentTeachesNothing) {
  const TestDirectory directory("self");
  SmallTraining training(directory);
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
  EXPECT_NEAR(divergence_from(*model, *model, *training.stream), 0, 1e-5);
}

TEST(Distillation, GradientsAreThoseOfTheLoss) {
  const auto teacher = LlamaModel::create(tiny_shape(), ComputeType::kF32, 3, 0.1);
  const auto student = LlamaModel::create(student_shape(), ComputeType::kF32, 4, 0.1);
  Distillation objective(*student, {.model = teacher.get(), .cache = nullptr},
                         {.alpha = 0.6f, .temperature = 2}, 1);
  const Batch batch = one_document(random_tokens(24, 1));
  const auto loss = [&] {
    const at::NoGradGuard no_grad;
    student->refresh();
    LossSums sums;
    objective.learn(*student, batch, batch.learned(), sums);
    return 0.4 * sums.cross_entropy + 0.6 * 4 * sums.divergence;
  };
  LossSums sums;
  objective.learn(*student, batch, batch.learned(), sums);
  for (Weight* weight : student->weights()) {
    const double squared = weight->grad.pow(2).sum().item<double>();
    const double step = 2e-2 / std::sqrt(squared);
    const at::Tensor before = weight->master.clone();
    weight->master.copy_(before.add(weight->grad, step));
    const double above = loss();
    weight->master.copy_(before.sub(weight->grad, step));
    const double below = loss();
    weight->master.copy_(before);
    EXPECT_NEAR((above - below) / (2 * step) / squared, 1, 0.02) << weight->parts[0].name;
  }
}

TEST(AttentionMap, RowsAreDistributionsOverWhatTheySee) {
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 3, 0.2);
  Batch batch = one_document(random_tokens(24, 1));
  for (size_t i = 10; i < 24; ++i) {
    batch.starts[i] = 10;
    batch.positions[i] -= 10;
  }
  const at::NoGradGuard no_grad;
  const ModelInput input = model->input_of(batch);
  at::Tensor qkv;
  model->forward(input, &qkv);
  const at::Tensor map = mean_attention(qkv, input.layout, model->rotary(), at::arange(24));
  EXPECT_LT((map.sum(1) - 1).abs().max().item<float>(), 1e-5f);
  const auto* values = map.data_ptr<float>();
  for (int64_t row = 0; row < 24; ++row) {
    for (int64_t column = 0; column < 24; ++column) {
      const bool seen = column <= row && (row < 10 || column >= 10);
      EXPECT_EQ(values[row * 24 + column] > 0, seen) << row << ' ' << column;
    }
  }
}

TEST(AttentionMap, OfOneHeadTimesItsValuesIsAttention) {
  DecoderShape shape = tiny_shape();
  shape.heads = shape.kv_heads = 1;
  shape.head_dim = shape.dim;
  const auto model = LlamaModel::create(shape, ComputeType::kF32, 3, 0.2);
  const Batch batch = one_document(random_tokens(24, 1));
  const at::NoGradGuard no_grad;
  const ModelInput input = model->input_of(batch);
  at::Tensor qkv;
  model->forward(input, &qkv);
  const at::Tensor map = mean_attention(qkv, input.layout, model->rotary(), at::arange(24));
  const at::Tensor expected = attention(qkv, input.layout, model->rotary());
  const at::Tensor values = qkv.narrow(1, 2 * shape.head_dim, shape.head_dim);
  EXPECT_LT((map.matmul(values) - expected).abs().max().item<float>(), 1e-5f);
}

TEST(Distillation, LearnsWhereItsTeacherLooks) {
  const TestDirectory directory("attention");
  SmallTraining training(directory);
  const auto teacher = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.2);
  const auto distance_after = [&](float attention_weight, const std::string& run) {
    const auto student = LlamaModel::create(student_shape(), ComputeType::kF32, 8, 0.05);
    Distillation objective(*student, {.model = teacher.get(), .cache = nullptr},
                           {.alpha = 0, .attention_weight = attention_weight}, 1);
    training.train(*student, objective, 60, directory / run);
    const at::NoGradGuard no_grad;
    training.stream->seek({});
    const Batch batch = training.stream->next(4);
    const LearnedRows learned = learned_rows(batch, batch.learned());
    const auto map_of = [&](LlamaModel& model) {
      const ModelInput input = model.input_of(batch);
      at::Tensor qkv;
      model.forward(input, &qkv);
      return mean_attention(qkv, input.layout, model.rotary(), learned.rows);
    };
    return attention_divergence(map_of(*teacher), map_of(*student), learned.weights).item<double>();
  };
  EXPECT_LT(distance_after(5, "with"), 0.8 * distance_after(0, "without"));
}

TEST(LlamaModel, KeptTokensGetTheirRowsAndNothingElseChanges) {
  const TestDirectory directory("kept");
  SmallTraining training(directory);
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.1);
  const std::string out = directory / "model";
  ASSERT_TRUE(
      export_model(out, tiny_shape(), model->weights(), training.tokenizer, {.format = "f32"})
          .ok());
  const auto checkpoint = open_checkpoint(out).value();
  const std::vector<int64_t> kept = {7, 3, 200, 41};
  const auto trimmed = LlamaModel::load(*checkpoint, ComputeType::kF32, kept).value();
  ASSERT_EQ(trimmed->shape().vocab, 4);
  const Batch all = one_document({3, 200, 3, 7, 41});
  const Batch few = one_document({1, 2, 1, 0, 3});
  const at::Tensor expected =
      model->logits(model->input_of(all)).index_select(1, at::tensor(kept, at::kLong));
  const at::Tensor got = trimmed->logits(trimmed->input_of(few));
  EXPECT_LT((got - expected).abs().max().item<float>(), 1e-5f);
}

TEST(TeacherCache, WithEveryTokenItTeachesAsTheTeacherDoes) {
  const TestDirectory directory("cache");
  SmallTraining training(directory);
  const auto teacher = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.2);
  const auto student = LlamaModel::create(student_shape(), ComputeType::kF32, 8, 0.2);
  const std::string path = directory / "cache.safetensors";
  ASSERT_TRUE(TeacherCache::write(path, *training.corpus, *teacher, 64, 260, nullptr).ok());
  const TeacherCache cache = TeacherCache::open(path, *training.corpus, 260).value();
  const Batch batch = training.stream->next(2);
  LossSums live, cached;
  Distillation from_teacher(*student, {.model = teacher.get(), .cache = nullptr}, {.alpha = 1}, 1);
  Distillation from_cache(*student, {.model = nullptr, .cache = &cache}, {.alpha = 1}, 1);
  from_teacher.learn(*student, batch, batch.learned(), live);
  from_cache.learn(*student, batch, batch.learned(), cached);
  EXPECT_GT(live.divergence, 0.01);
  EXPECT_NEAR(cached.divergence / live.divergence, 1, 0.01);
}

TEST(TeacherCache, OfOtherDataIsRefused) {
  const TestDirectory directory("other");
  SmallTraining training(directory);
  const auto teacher = LlamaModel::create(student_shape(), ComputeType::kF32, 7, 0.2);
  const std::string path = directory / "cache.safetensors";
  ASSERT_TRUE(TeacherCache::write(path, *training.corpus, *teacher, 64, 4, nullptr).ok());
  const std::string data = directory.write("other.jsonl", sums_jsonl(20, 9));
  const auto chat = ChatTemplate::parse(training.tokenizer.chat_template).value();
  const Corpus other =
      Corpus::read({{.path = data}}, {.tokenizer = training.tokenizer.tokenizer.get(),
                                      .chat_template = chat.get(),
                                      .learn_prompts = false,
                                      .on_progress = nullptr})
          .value();
  const absl::Status status = TeacherCache::open(path, other, 260).status();
  EXPECT_NE(message_of(status).find("other data"), std::string::npos) << status;
}

TEST(Recovery, PrunedWeightsStayZeroWhileTheOthersLearn) {
  const TestDirectory directory("recover");
  SmallTraining training(directory);
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
  for (Weight* weight : model->weights()) {
    if (weight->decays) weight->master.mul_(weight->master.abs().ge(0.03));
  }
  model->refresh();
  model->keep_zeros();
  std::vector<at::Tensor> before;
  for (Weight* weight : model->weights()) before.push_back(weight->master.clone());
  training.train(*model, training.objective, 20, directory / "run");
  const std::vector<Weight*> weights = model->weights();
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!weights[i]->decays) continue;
    const at::Tensor pruned = before[i].eq(0);
    EXPECT_GT(pruned.sum().item<int64_t>(), 0);
    EXPECT_EQ(weights[i]->master.masked_select(pruned).abs().sum().item<float>(), 0);
    EXPECT_FALSE(weights[i]->master.equal(before[i]));
  }
}

TEST(Lora, EngineWithTheAdapterComputesTheTrainersLogitsAndTheBaseIsUntouched) {
  const TestDirectory directory("lora");
  SmallTraining training(directory);
  const auto model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
  const std::string base = directory / "base";
  ASSERT_TRUE(
      export_model(base, tiny_shape(), model->weights(), training.tokenizer, {.format = "f32"})
          .ok());
  const std::vector<int32_t> tokens = random_tokens(40, 5);
  const std::vector<float> plain = trainer_logits(*model, tokens);
  model->train_weights(false);
  const LoraSettings settings = {.rank = 4, .alpha = 8};
  model->add_adapters(settings, 1);
  EXPECT_EQ(largest_difference(trainer_logits(*model, tokens), plain), 0) << "B begins as zero";
  const TrainResult result = training.train(*model, training.objective, 40, directory / "run");
  EXPECT_LT(result.loss, result.first_loss);
  const std::string adapter = directory / "adapter";
  ASSERT_TRUE(export_adapter(adapter, model->weights(), settings, base).ok());
  const std::vector<float> adapted = trainer_logits(*model, tokens);
  EXPECT_GT(largest_difference(adapted, plain), 0.01f);
  EXPECT_LT(largest_difference(adapted, engine_logits(base, tokens, adapter)), 1e-3f);
  EXPECT_LT(largest_difference(plain, engine_logits(base, tokens)), 1e-3f);
}

}  // namespace
}  // namespace brisk::train
