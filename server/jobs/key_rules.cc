#include "server/jobs/key_rules.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace yoke::jobs {
namespace {

class Rules {
 public:
  Rules(ResolvedSpec& out, std::string prefix) : out_(out), prefix_(std::move(prefix)) {}

  void Check(const v1::TrainSpec& train) {
    if (train.batch() == 0) Refuse("batch", "batch=0 is out of range; it takes 1 to 65536, or -1 to find the most that fit");
    if (train.mosaic_tiles() != 4 && train.mosaic_tiles() != 9) {
      Refuse("mosaic_tiles", absl::StrCat("mosaic_tiles=", train.mosaic_tiles(), " is not known; it takes 4 or 9"));
    }
    if (Given("freeze") && train.freeze() > 0 && train.freeze_layers_size() > 0) {
      Refuse("freeze", "freeze and freeze_layers are both given; list all frozen layers in one of them");
    }
    if (!train.val() && Given("patience") && train.patience() > 0) {
      Refuse("patience", absl::StrCat("patience=", train.patience(), " needs a fitness to watch, which val=false does without; drop one of them"));
    }
    if (train.rect() && Given("mosaic") && train.mosaic() > 0) {
      Refuse("mosaic", absl::StrCat("mosaic=", train.mosaic(), " needs square batches, which rect=true does without; drop one of them"));
    }
    if (train.rect() && train.multi_scale() > 0) {
      Refuse("multi_scale", "multi_scale changes the size of each batch, and so does rect=true; drop one of them");
    }
    if (train.time() > 0 && Given("epochs")) {
      Warn(absl::StrCat("time=", train.time(), " decides when the training ends, not epochs=", train.epochs()));
    }
    if (Given("copy_paste_mode") && train.copy_paste() == 0) {
      Warn("copy_paste_mode does nothing without copy_paste");
    }
    if (Given("mosaic_tiles") && train.mosaic() == 0) Warn("mosaic_tiles does nothing with mosaic=0");
    if (train.resume().empty()) return;
    for (const char* key : {"pretrained", "cls_remap"}) {
      if (Given(key)) Warn(absl::StrCat(key, " does nothing with resume: the weights are those of the run continued"));
    }
  }

  template <typename Spec>
  void CheckEnsemble(const Spec& spec) {
    if (spec.weights_size() > 0 && spec.weights_size() != spec.model_size()) {
      Refuse("weights", absl::StrCat("weights names ", spec.weights_size(), " numbers for ", spec.model_size(), " models; give one for each"));
    }
    if (spec.weights_size() > 0 && std::all_of(spec.weights().begin(), spec.weights().end(), [](double w) { return w == 0; })) {
      Refuse("weights", "weights are all 0; at least one model must count");
    }
    if (spec.model_size() != 1) return;
    for (const char* key : {"ensemble", "ensemble_iou"}) {
      if (Given(key)) Warn(absl::StrCat(key, " does nothing with one model"));
    }
  }

  void Check(const v1::ExportSpec& spec) {
    const absl::string_view other = spec.format() == "onnx" ? ".safetensors" : ".onnx";
    if (absl::EndsWith(spec.out(), other)) {
      Refuse("out", absl::StrCat("out=", spec.out(), " is named like another format than format=",
                                 spec.format(), "; change one of them"));
    }
    if (spec.format() != "onnx") {
      for (const char* key : {"dynamic", "nms", "opset"}) {
        if (Given(key)) Refuse(key, absl::StrCat(key, " belongs to format=onnx, not to ", spec.format()));
      }
    } else if (spec.half()) {
      Refuse("half", "half belongs to format=safetensors; ONNX is written in float32, which its runtimes convert");
    }
    if (spec.nms()) return;
    for (const char* key : {"conf", "iou", "max_det", "agnostic_nms"}) {
      if (Given(key)) Warn(absl::StrCat(key, " does nothing without nms=True"));
    }
  }

 private:
  bool Given(const std::string& key) const {
    return std::find(out_.user_set.begin(), out_.user_set.end(), key) != out_.user_set.end();
  }
  void Refuse(const std::string& key, const std::string& what) { out_.violations.push_back({prefix_ + key, what}); }
  void Warn(const std::string& what) { out_.warnings.push_back(what); }

  ResolvedSpec& out_;
  const std::string prefix_;
};

}  // namespace

void CheckKeysTogether(ResolvedSpec& out) {
  switch (out.spec.task_case()) {
    case v1::JobSpec::kTrain: return Rules(out, "train.").Check(out.spec.train());
    case v1::JobSpec::kProcess:
      if (out.spec.process().has_train()) Rules(out, "process.train.").Check(out.spec.process().train());
      return;
    case v1::JobSpec::kValidate: return Rules(out, "validate.").CheckEnsemble(out.spec.validate());
    case v1::JobSpec::kLabel: return Rules(out, "label.").CheckEnsemble(out.spec.label());
    case v1::JobSpec::kExport: return Rules(out, "export.").Check(out.spec.export_());
    case v1::JobSpec::kSelftest:
    case v1::JobSpec::TASK_NOT_SET: return;
  }
}

}  // namespace yoke::jobs
