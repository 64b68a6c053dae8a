#include "server/jobs/spec.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "server/jobs/key_rules.h"
#include "yoke/v1/setting.pb.h"

namespace yoke::jobs {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kStride = 32;

bool IsSet(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  return field.is_repeated() ? r.FieldSize(message, &field) > 0 : r.HasField(message, &field);
}

// Defaults are written in the proto and must parse: a mistake there is a bug, not an input.
void SetDefault(Message& message, const FieldDescriptor& field, const std::string& text) {
  const Reflection& r = *message.GetReflection();
  if (field.is_repeated()) {
    for (absl::string_view part : absl::StrSplit(text, ',')) {
      double number = 0;
      YOKE_CHECK(field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE && absl::SimpleAtod(part, &number));
      r.AddDouble(&message, &field, number);
    }
    return;
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: r.SetString(&message, &field, text); return;
    case FieldDescriptor::CPPTYPE_BOOL: r.SetBool(&message, &field, text == "true"); return;
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double number = 0;
      YOKE_CHECK_MSG(absl::SimpleAtod(text, &number), field.full_name());
      r.SetDouble(&message, &field, number);
      return;
    }
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t number = 0;
      YOKE_CHECK_MSG(absl::SimpleAtoi(text, &number), field.full_name());
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
        r.SetInt32(&message, &field, static_cast<int32_t>(number));
      } else {
        r.SetInt64(&message, &field, number);
      }
      return;
    }
    default: YOKE_CHECK_MSG(false, field.full_name());
  }
}

std::vector<double> Numbers(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  std::vector<double> values;
  const int count = field.is_repeated() ? r.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_DOUBLE:
        values.push_back(field.is_repeated() ? r.GetRepeatedDouble(message, &field, i) : r.GetDouble(message, &field));
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        values.push_back(field.is_repeated() ? r.GetRepeatedInt32(message, &field, i) : r.GetInt32(message, &field));
        break;
      case FieldDescriptor::CPPTYPE_INT64: values.push_back(static_cast<double>(r.GetInt64(message, &field))); break;
      default: return {};
    }
  }
  return values;
}

std::string Range(const v1::Setting& setting) {
  if (setting.has_min() && setting.has_max()) return absl::StrCat(setting.min(), " to ", setting.max());
  return setting.has_min() ? absl::StrCat("at least ", setting.min()) : absl::StrCat("at most ", setting.max());
}

void CheckField(const Message& message, const FieldDescriptor& field, const std::string& path, std::vector<Violation>& violations) {
  const v1::Setting& setting = field.options().GetExtension(v1::setting);
  for (double value : Numbers(message, field)) {
    const bool inside = std::isfinite(value) && (!setting.has_min() || value >= setting.min()) && (!setting.has_max() || value <= setting.max());
    if (!inside) {
      violations.push_back({path, absl::StrCat(field.name(), "=", value, " is out of range; it takes ", Range(setting))});
    }
  }
  if (setting.choices_size() > 0) {
    const std::string value = message.GetReflection()->GetString(message, &field);
    if (std::find(setting.choices().begin(), setting.choices().end(), value) == setting.choices().end()) {
      violations.push_back({path, absl::StrCat(field.name(), "=", value, " is not known; it takes ", absl::StrJoin(setting.choices(), ", "))});
    }
  }
}

// Whether the recipe that `message` names, if it has one, is the modern one.
bool IsModern(const Message& message) {
  const FieldDescriptor* recipe = message.GetDescriptor()->FindFieldByName("recipe");
  return recipe != nullptr && message.GetReflection()->GetString(message, recipe) == "modern";
}

// What is the same for every message of a type: its defaults are parsed once.
struct TypeRules {
  std::unique_ptr<Message> classic, modern;  // with the defaults of all fields
  std::vector<const FieldDescriptor*> required;
};

const TypeRules& RulesOf(const Message& message) {
  static Mutex mutex;
  static std::map<const google::protobuf::Descriptor*, TypeRules> rules;
  MutexLock lock(mutex);
  TypeRules& known = rules[message.GetDescriptor()];
  if (known.classic != nullptr) return known;
  known.classic.reset(message.New());
  known.modern.reset(message.New());
  const auto& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const v1::Setting& setting = field.options().GetExtension(v1::setting);
    if (!setting.default_value().empty()) {
      const std::string& modern = setting.modern_value();
      SetDefault(*known.classic, field, setting.default_value());
      SetDefault(*known.modern, field, modern.empty() ? setting.default_value() : modern);
    } else if (setting.required()) {
      known.required.push_back(&field);
    }
  }
  return known;
}

// Fills defaults of `message` and of the messages inside it that are present; collects what the
// user set.
void ResolveMessage(Message& message, const std::string& prefix, ResolvedSpec& out) {
  const TypeRules& rules = RulesOf(message);
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  const bool modern = IsModern(message);
  for (const FieldDescriptor* field : rules.required) {
    if (!IsSet(message, *field)) fields.push_back(field);
  }
  std::sort(fields.begin(), fields.end(), [](const FieldDescriptor* a, const FieldDescriptor* b) {
    return a->index() < b->index();
  });
  std::unique_ptr<Message> filled(message.New());
  filled->CopyFrom(modern ? *rules.modern : *rules.classic);
  for (const FieldDescriptor* field : fields) {
    if (!IsSet(message, *field)) {
      const std::string& help = field->options().GetExtension(v1::setting).help();
      out.violations.push_back(
          {prefix + field->name(), absl::StrCat(field->name(), "= is missing: ", help)});
      continue;
    }
    if (field->is_repeated())
      reflection.ClearField(filled.get(), field);  // the user's are all, not more
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated())
        ResolveMessage(*reflection.MutableMessage(&message, field),
                       absl::StrCat(prefix, field->name(), "."), out);
      continue;
    }
    out.user_set.push_back(field->name());
    CheckField(message, *field, prefix + field->name(), out.violations);
  }
  filled->MergeFrom(message);
  reflection.Swap(&message, filled.get());
}

template <typename Spec>
void RoundImageSize(Spec& spec, ResolvedSpec& out) {
  const int asked = spec.imgsz();
  const int rounded = (asked + kStride - 1) / kStride * kStride;
  if (rounded == asked || asked <= 0) return;
  spec.set_imgsz(rounded);
  out.warnings.push_back(absl::StrCat("imgsz=", asked, " is not a multiple of ", kStride, "; rounded up to ", rounded));
}

// yolov8x, 100 epochs, batch 64, 640 px, workers 8, patience 50, lr0 0.01: fills only what is not set.
void ApplyRecommended(v1::TrainSpec& train) {
  if (!train.has_model()) train.set_model("yolov8x.pt");
  if (!train.has_epochs()) train.set_epochs(100);
  if (!train.has_batch()) train.set_batch(64);
  if (!train.has_imgsz()) train.set_imgsz(640);
  if (!train.has_workers()) train.set_workers(8);
  if (!train.has_patience()) train.set_patience(50);
  if (!train.has_lr0()) train.set_lr0(0.01);
}

void CheckSplit(const v1::ProcessSpec& process, std::vector<Violation>& violations) {
  double sum = 0;
  for (double share : process.split()) sum += share;
  if (process.split_size() < 2 || process.split_size() > 3 || std::abs(sum - 1) > 1e-6) {
    violations.push_back({"process.split", absl::StrCat("split=", absl::StrJoin(process.split(), ","),
                                                        " must be two or three shares (train, val, test) that add up to 1, e.g. split=0.8,0.1,0.1")});
  }
}

}  // namespace

const char* TaskName(const v1::JobSpec& spec) {
  switch (spec.task_case()) {
    case v1::JobSpec::kTrain: return "train";
    case v1::JobSpec::kValidate: return "validate";
    case v1::JobSpec::kLabel: return "label";
    case v1::JobSpec::kProcess: return "process";
    case v1::JobSpec::kSelftest: return "selftest";
    case v1::JobSpec::kExport: return "export";
    case v1::JobSpec::TASK_NOT_SET: break;
  }
  return "";
}

const v1::TrainSpec* TrainPart(const v1::JobSpec& spec) {
  if (spec.has_train()) return &spec.train();
  if (spec.has_process() && spec.process().has_train()) return &spec.process().train();
  return nullptr;
}

ResolvedSpec Resolve(const v1::JobSpec& asked) {
  ResolvedSpec out;
  out.spec = asked;
  if (asked.task_case() == v1::JobSpec::TASK_NOT_SET) {
    out.violations.push_back({"task", "a job needs one of train, validate, label, process, selftest, export"});
    return out;
  }
  if (out.spec.has_process()) {
    v1::ProcessSpec& process = *out.spec.mutable_process();
    if (process.has_preset()) ApplyRecommended(*process.mutable_train());
    // The training of a process job reads the data set that the job makes.
    if (process.has_train() && !process.train().has_data()) process.mutable_train()->set_data(process.out() + "/data.yaml");
  }
  // A file's name says its format.
  if (v1::ExportSpec* exported = out.spec.has_export_() ? out.spec.mutable_export_() : nullptr;
      exported != nullptr && !exported->has_format() &&
      absl::EndsWith(exported->out(), ".safetensors")) {
    exported->set_format("safetensors");
  }
  ResolveMessage(out.spec, "", out);
  switch (out.spec.task_case()) {
    case v1::JobSpec::kTrain: RoundImageSize(*out.spec.mutable_train(), out); break;
    case v1::JobSpec::kValidate: RoundImageSize(*out.spec.mutable_validate(), out); break;
    case v1::JobSpec::kLabel: RoundImageSize(*out.spec.mutable_label(), out); break;
    case v1::JobSpec::kSelftest: RoundImageSize(*out.spec.mutable_selftest(), out); break;
    case v1::JobSpec::kExport: RoundImageSize(*out.spec.mutable_export_(), out); break;
    case v1::JobSpec::kProcess:
      CheckSplit(out.spec.process(), out.violations);
      if (out.spec.process().has_train()) RoundImageSize(*out.spec.mutable_process()->mutable_train(), out);
      break;
    case v1::JobSpec::TASK_NOT_SET: break;
  }
  CheckKeysTogether(out);
  return out;
}

std::vector<Violation> CheckForWorldSize(const v1::JobSpec& resolved, int world_size) {
  int batch = 0;
  std::string field;
  if (const v1::TrainSpec* train = TrainPart(resolved)) {
    batch = train->batch();
    field = resolved.has_train() ? "train.batch" : "process.train.batch";
  } else if (resolved.has_validate()) {
    batch = resolved.validate().batch();
    field = "validate.batch";
  } else if (resolved.has_selftest()) {
    batch = resolved.selftest().batch();
    field = "selftest.batch";
  } else {
    return {};
  }
  if (batch == -1) return {};  // found on the devices
  if (batch < world_size) {
    return {{field, absl::StrCat("batch=", batch, " is smaller than the number of devices (", world_size, "): each needs at least one image; use batch=",
                                 world_size, " or fewer devices")}};
  }
  if (batch % world_size != 0) {
    const int below = batch / world_size * world_size;
    return {{field, absl::StrCat("batch=", batch, " is not divisible by the number of devices (", world_size, "); the nearest batches are ", below, " and ",
                                 below + world_size)}};
  }
  return {};
}

}  // namespace yoke::jobs
