// The task as a whole: files appear whole or not at all, and refusals say why. What the files hold
// is compared with other programs in tests/numerics/exported_test.py.
#include "server/engine/export/export.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint/torch_value.h"
#include "server/engine/checkpoint/weights.h"
#include "tests/support/temp_folder.h"
#include "tests/support/unwritable_folder.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using State = std::map<std::string, at::Tensor>;

State WholeState() {
  auto model = *DetectionModel::Create({'n', 2});
  State state;
  for (auto& item : model->named_parameters()) state[item.key()] = item.value().detach();
  for (auto& item : model->named_buffers()) state[item.key()] = item.value();
  return state;
}

// Modules nested as the names say, which is all that reading looks at.
TorchValue ModuleOf(const std::string& class_name, const State& state) {
  std::map<std::string, State> children;
  TorchValue::Entries tensors, modules;
  for (const auto& [name, tensor] : state) {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) {
      tensors.emplace_back(name, tensor);
    } else {
      children[name.substr(0, dot)][name.substr(dot + 1)] = tensor;
    }
  }
  for (const auto& [name, child] : children)
    modules.emplace_back(name, ModuleOf("torch.nn.modules.container.Sequential", child));
  return TorchValue::Object(class_name, {{"_buffers", TorchValue::Dict(std::move(tensors))},
                                         {"_modules", TorchValue::Dict(std::move(modules))}});
}

class Export : public ::testing::Test {
 protected:
  std::string At(const std::string& name) const { return folder_.path() + "/" + name; }

  std::string Put(const std::string& name, const State& state) const {
    const TorchValue model = ModuleOf("ultralytics.nn.tasks.DetectionModel", state);
    EXPECT_TRUE(WriteTorchFile(At(name), TorchValue::Dict({{"model", model}})).ok());
    return At(name);
  }

  std::string Good() const { return Put("good.pt", WholeState()); }

  // The error of an export to a new file, which is not there afterwards.
  absl::Status Refusal(ExportConfig config) const {
    if (config.out.empty()) config.out = At("out/model.onnx");
    Observer silent;
    const absl::Status status = RunExport(config, silent).status();
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(fs::is_regular_file(config.out));
    EXPECT_FALSE(fs::exists(config.out + ".tmp"));
    return status;
  }

  std::string BadInput(const ExportConfig& config) const {
    const absl::Status status = Refusal(config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }

  TempFolder folder_;
};

TEST_F(Export, WritesTheFileItsSizeAndTheFolderAbove) {
  for (const char* format : {"onnx", "safetensors"}) {
    const std::string out = At(std::string("new/folder/model.") + format);
    Observer silent;
    const auto result =
        RunExport({.model = Good(), .format = format, .out = out, .imgsz = 64}, silent);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->path, out);
    EXPECT_EQ(result->bytes, static_cast<int64_t>(fs::file_size(out)));
    EXPECT_GT(result->bytes, 10'000'000);  // three million float32
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(At("new/folder")), {}), 2);
}

TEST_F(Export, ReplacesAnEarlierFileOnlyWithAWholeOne) {
  std::ofstream(At("model.onnx")) << "earlier";
  Observer silent;
  ExportConfig config{.model = At("missing.pt"), .out = At("model.onnx"), .imgsz = 64};
  EXPECT_TRUE(absl::IsNotFound(RunExport(config, silent).status()));
  EXPECT_EQ(fs::file_size(At("model.onnx")), 7u);
  config.model = Good();
  EXPECT_TRUE(RunExport(config, silent).ok());
  EXPECT_GT(fs::file_size(At("model.onnx")), 7u);
}

TEST_F(Export, RefusesATargetThatIsNoNewFile) {
  fs::create_directory(At("folder"));
  const std::string model = Good();
  EXPECT_THAT(BadInput({.model = model, .out = At("folder")}),
              HasSubstr("is a folder; name the file"));
  EXPECT_THAT(BadInput({.model = model, .out = At("none/")}), HasSubstr("is a folder"));
  EXPECT_THAT(BadInput({.model = model, .out = "/dev/null"}), HasSubstr("no regular file"));
  EXPECT_THAT(CheckExport({.model = model, .out = model}).message(), HasSubstr("the model itself"));
}

TEST_F(Export, RefusesValuesOutOfRange) {
  const std::string model = Good();
  EXPECT_THAT(BadInput({.model = model, .format = "tflite"}), HasSubstr("onnx or safetensors"));
  EXPECT_THAT(BadInput({.model = model, .opset = 7}),
              HasSubstr("opset=7 is out of range; it takes 13 to 22"));
  EXPECT_THAT(BadInput({.model = model, .imgsz = 100}), HasSubstr("multiple of 32"));
  EXPECT_THAT(BadInput({.model = model, .imgsz = 16384}), HasSubstr("imgsz"));
  EXPECT_THAT(BadInput({.model = model, .batch = 0}), HasSubstr("batch"));
  EXPECT_THAT(BadInput({.model = model, .conf = 1.5}), HasSubstr("conf=1.5"));
  EXPECT_THAT(BadInput({.model = model, .iou = -1}), HasSubstr("iou"));
  EXPECT_THAT(BadInput({.model = model, .max_det = 0}), HasSubstr("max_det"));
}

TEST_F(Export, RefusesWeightsThatAreNone) {
  EXPECT_TRUE(absl::IsNotFound(Refusal({.model = At("missing.pt")})));
  std::ofstream(At("notes.pt")) << "these are notes";
  EXPECT_THAT(BadInput({.model = At("notes.pt")}), HasSubstr("notes.pt"));

  State state = WholeState();
  std::erase_if(state,
                [](const auto& item) { return item.first.find(".bn.") != std::string::npos; });
  EXPECT_THAT(BadInput({.model = Put("folded.pt", state)}),
              AllOf(HasSubstr("folded.pt"), HasSubstr("folded into")));

  state = WholeState();
  state["model.0.conv.weight"] = at::zeros({24, 3, 3, 3});
  EXPECT_THAT(BadInput({.model = Put("wide.pt", state)}),
              AllOf(HasSubstr("wide.pt"), HasSubstr("unknown scale")));

  state = WholeState();
  state.erase("model.12.cv2.bn.bias");
  EXPECT_THAT(BadInput({.model = Put("part.pt", state)}),
              AllOf(HasSubstr("part.pt"), HasSubstr("model.12.cv2.bn.bias is missing")));
}

TEST_F(Export, RefusesToTurnNumbersIntoInfinity) {
  State state = WholeState();
  state["model.0.bn.running_var"].fill_(1e6);
  ExportConfig config{.model = Put("large.pt", state), .format = "safetensors", .half = true};
  EXPECT_THAT(BadInput(config), HasSubstr("model.0.bn.running_var holds values beyond float16"));
  config.half = false;
  config.out = At("large.safetensors");
  Observer silent;
  EXPECT_TRUE(RunExport(config, silent).ok());
}

TEST_F(Export, NamesAFolderThatTakesNoFiles) {
  const std::string folder = UnwritableFolder();
  if (folder.empty()) GTEST_SKIP() << "sysfs is not mounted";
  const absl::Status status = Refusal({.model = Good(), .out = folder + "/model.onnx"});
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr(folder));
}

TEST_F(Export, AFullDiskLeavesNothing) {
  fs::create_directory(At("small"));
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", At("small").c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "mounting a small tmpfs needs privileges that this process lacks";
  }
  const absl::Status status = Refusal({.model = Good(), .out = At("small/model.onnx")});
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(fs::is_empty(At("small")));
  umount2(At("small").c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace yoke::engine
