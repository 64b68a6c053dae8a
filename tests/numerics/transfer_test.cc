// Weights taken over to another class list, against what the reference (8.4.190) makes of the same
// weights; make_transfer_goldens.py says how they are made.
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint/weights.h"
#include "tests/numerics/golden_file.h"

namespace yoke::engine {
namespace {

Weights Source(char scale, const std::vector<std::string>& names) {
  auto model = *DetectionModel::Create({scale, static_cast<int>(names.size())});
  Weights weights{.spec = model->spec(), .names = names};
  for (auto& item : model->named_parameters()) weights.state[item.key()] = item.value().detach();
  for (auto& item : model->named_buffers()) weights.state[item.key()] = item.value();
  uint32_t index = 0;
  for (auto& [name, tensor] : weights.state) {
    tensor = tensor.is_floating_point()
                 ? (RecordedUniform(index + 1, tensor.numel()) - 0.5).reshape(tensor.sizes())
                 : at::full_like(tensor, static_cast<int64_t>(index));
    ++index;
  }
  return weights;
}

std::vector<std::string> Things(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(absl::StrCat("thing ", i));
  return names;
}

void Compare(const std::string& name, char scale, const std::vector<std::string>& known,
             const std::vector<std::string>& wanted) {
  SCOPED_TRACE(name);
  const auto golden = ReadGolden("transfer_" + name + ".golden");
  const Weights source = Source(scale, known);
  const auto classes = MatchClasses(known, wanted);
  ASSERT_TRUE(classes.ok()) << classes.status();
  const ModelSpec spec = SpecFor(source, static_cast<int>(wanted.size()), /*by_name=*/true);
  EXPECT_EQ(spec.class_width, golden.at("class_width").item<float>());
  auto model = *DetectionModel::Create(spec);
  std::map<std::string, at::Tensor> before, state;
  for (auto& item : model->named_parameters()) state[item.key()] = item.value().detach();
  for (auto& item : model->named_buffers()) state[item.key()] = item.value();
  for (auto& [key, tensor] : state) before[key] = tensor.clone();
  const TransferReport report = Transfer(source, *model, *classes);
  EXPECT_EQ(report.total, 355);
  EXPECT_EQ(report.copied, 355);

  int equal = 0;
  for (const auto& [key, tensor] : state) equal += tensor.equal(source.state.at(key)) ? 1 : 0;
  EXPECT_EQ(equal, golden.at("equal").item<float>());
  for (int level = 0; level < 3; ++level) {
    const std::string last = absl::StrCat("model.22.cv3.", level, ".2.");
    const at::Tensor rows = golden.at(absl::StrCat("rows", level)).to(at::kLong);
    const at::Tensor &weight = state.at(last + "weight"), &bias = state.at(last + "bias");
    EXPECT_TRUE(
        weight.index_select(0, rows).flatten(1).equal(golden.at(absl::StrCat("weight", level))));
    EXPECT_TRUE(bias.index_select(0, rows).equal(golden.at(absl::StrCat("bias", level))));
    // New classes keep their fresh rows.
    at::Tensor is_new = at::ones({weight.size(0)}, at::kBool);
    is_new.index_fill_(0, rows, false);
    EXPECT_TRUE(weight.index({is_new}).equal(before.at(last + "weight").index({is_new})));
    EXPECT_TRUE(bias.index({is_new}).equal(before.at(last + "bias").index({is_new})));
  }
}

TEST(Transfer, TakesClassRowsByNameAsTheReference) {
  std::vector<std::string> known = Things(80);
  known[0] = " Person";
  known[2] = "car";
  const std::vector<std::string> wanted = {"person", "CAR ", "unicorn"};
  Compare("n_80_to_3", 'n', known, wanted);
  Compare("s_80_to_3", 's', known, wanted);
  Compare("n_moved", 'n', {"cat", "dog", "bird"}, {"bird", "cat", "cow"});
  std::vector<std::string> many = Things(118);
  many.insert(many.begin(), "cow");
  many.push_back("dog");
  Compare("n_3_to_120", 'n', {"cat", "thing 7", "dog"}, many);
}

TEST(Transfer, TakesClassRowsByPlaceWhereNamesSayNothingElse) {
  Compare("n_same", 'n', {"cat", "dog"}, {"Cat", "dog"});
  Compare("n_none", 'n', {"cat", "dog"}, {"cow", "pig"});
}

// Without cls_remap: by name and shape only, as 8.1 does, whose fresh branches are narrower.
TEST(Transfer, WithoutClassNamesTakesWhatHasTheShape) {
  const Weights source = Source('n', Things(80));
  auto model = *DetectionModel::Create(SpecFor(source, 3, /*by_name=*/false));
  EXPECT_EQ(model->spec().class_width, 64);
  const TransferReport report = Transfer(source, *model);
  // Per level two blocks of six entries, of which only the counter of batches has no width, and the
  // last layer's two.
  EXPECT_EQ(report.copied, 355 - 3 * (2 * 5 + 2));
}

}  // namespace
}  // namespace yoke::engine
