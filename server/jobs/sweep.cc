#include "server/jobs/sweep.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace yoke::jobs {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kKeysMax = 16;
constexpr int kValuesMax = 1000;
constexpr int kIndexMax = 1'000'000'000;
// The row of an array is written with every change of one of its tasks.
constexpr size_t kBytesMax = size_t{64} << 10;

// The message of the task that a specification names; null: it names none.
Message* TaskMessage(v1::JobSpec& spec) {
  if (spec.task_case() == v1::JobSpec::TASK_NOT_SET) return nullptr;
  const FieldDescriptor* member = v1::JobSpec::descriptor()->FindFieldByNumber(spec.task_case());
  return spec.GetReflection()->MutableMessage(&spec, member);
}

// The one field that a value sets; null: it sets none, several, or one of another task.
const FieldDescriptor* FieldOf(const v1::JobSpec& asked, v1::JobSpec value) {
  if (value.task_case() != asked.task_case() || !value.device().empty()) return nullptr;
  const Message& message = *TaskMessage(value);
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  return fields.size() == 1 ? fields[0] : nullptr;
}

bool IsNumber(const FieldDescriptor& field) {
  return !field.is_repeated() && (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE ||
                                  field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
                                  field.cpp_type() == FieldDescriptor::CPPTYPE_INT64);
}

void SetValue(const v1::SweepKey& key, const v1::SweepValue& value, v1::JobSpec& spec) {
  Message& message = *TaskMessage(spec);
  v1::JobSpec copy = value.spec();
  const FieldDescriptor* field = FieldOf(spec, copy);
  // A list may have a field of its own beside that of the key; it replaces what either says.
  const FieldDescriptor* plain = message.GetDescriptor()->FindFieldByName(key.key());
  for (const FieldDescriptor* each : {field, plain}) {
    if (each != nullptr) message.GetReflection()->ClearField(&message, each);
  }
  message.MergeFrom(*TaskMessage(copy));
}

// `text` is what the number becomes, so that what is shown is what counts.
void SetNumber(const std::string& key, const std::string& text, v1::JobSpec& spec) {
  Message& message = *TaskMessage(spec);
  const Reflection& reflection = *message.GetReflection();
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(key);
  double number = 0;
  if (!absl::SimpleAtod(text, &number)) return;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_DOUBLE:
      reflection.SetDouble(&message, field, number);
      return;
    case FieldDescriptor::CPPTYPE_INT32:
      reflection.SetInt32(&message, field, static_cast<int32_t>(number));
      return;
    default:
      reflection.SetInt64(&message, field, static_cast<int64_t>(number));
  }
}

// Evenly spread 64 bits that depend on all three (splitmix64).
uint64_t Draw(int64_t seed, int place, int key) {
  uint64_t bits = static_cast<uint64_t>(seed);
  for (const uint64_t part : {static_cast<uint64_t>(place), static_cast<uint64_t>(key)}) {
    bits += 0x9E3779B97F4A7C15ull * (part + 1);
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9ull;
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EBull;
    bits ^= bits >> 31;
  }
  return bits;
}

std::string DrawNumber(const v1::SweepRange& range, bool whole, uint64_t bits) {
  const double share = static_cast<double>(bits >> 11) / static_cast<double>(uint64_t{1} << 53);
  double low = range.min(), high = range.max();
  // Whole numbers: each of them gets an equal part.
  if (whole) high += 1;
  double value = range.log() ? std::exp(std::log(low) + share * (std::log(high) - std::log(low)))
                             : low + share * (high - low);
  if (whole) value = std::floor(value);
  value = std::clamp(value, range.min(), range.max());
  return whole ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.6g", value);
}

bool IsWhole(const v1::JobSpec& asked, const std::string& key) {
  v1::JobSpec copy = asked;
  const FieldDescriptor* field = TaskMessage(copy)->GetDescriptor()->FindFieldByName(key);
  return field != nullptr && field->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE;
}

// "{index}" in any text, also inside messages and lists.
void ReplaceIndex(const std::string& index, Message& message) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  const auto replaced = [&](const std::string& text) {
    return absl::StrReplaceAll(text, {{"{index}", index}});
  };
  for (const FieldDescriptor* field : fields) {
    const int size = field->is_repeated() ? reflection.FieldSize(message, field) : -1;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (size < 0) ReplaceIndex(index, *reflection.MutableMessage(&message, field));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (size < 0)
        reflection.SetString(&message, field, replaced(reflection.GetString(message, field)));
      for (int i = 0; i < size; ++i)
        reflection.SetRepeatedString(&message, field, i,
                                     replaced(reflection.GetRepeatedString(message, field, i)));
    }
  }
}

class Check {
 public:
  Check(const v1::JobSpec& asked, v1::Array& array) : asked_(asked), array_(array) {}

  std::vector<Violation> Run() {
    Say(array_.ByteSizeLong() > kBytesMax,
        absl::StrCat("the array takes ", array_.ByteSizeLong(),
                     " bytes with all its values; at most ", kBytesMax));
    Say(asked_.has_process() && array_.sweep_size() > 0,
        "the keys of a process job cannot be swept; make the data set first and sweep a training "
        "--after it");
    Say(array_.sweep_size() > kKeysMax, absl::StrCat("a sweep has at most ", kKeysMax, " keys"));
    Say(array_.random() && array_.sweep_size() == 0, "there is no key to draw values for");
    // What follows works through the values.
    if (!violations_.empty()) return std::move(violations_);
    std::set<std::string> seen;
    for (const v1::SweepKey& key : array_.sweep()) {
      if (!seen.insert(key.key()).second) Say(true, absl::StrCat(key.key(), " is swept twice"));
      CheckKey(key);
    }
    if (violations_.empty()) CountTasks();
    return std::move(violations_);
  }

 private:
  void Say(bool wrong, const std::string& what) {
    if (wrong) violations_.push_back({"array", what});
  }

  void CheckKey(const v1::SweepKey& key) {
    v1::JobSpec copy = asked_;
    const FieldDescriptor* field = TaskMessage(copy)->GetDescriptor()->FindFieldByName(key.key());
    if (field == nullptr)
      return Say(true, absl::StrCat("'", key.key(), "' is no key of ", TaskName(asked_),
                                    " that can be swept"));
    if (key.has_range()) return CheckRange(key, *field);
    if (key.values_size() < 1 || key.values_size() > kValuesMax)
      return Say(true, absl::StrCat(key.key(), " has ", key.values_size(),
                                    " values; it takes 1 to ", kValuesMax));
    for (const v1::SweepValue& value : key.values()) {
      if (FieldOf(asked_, value.spec()) == nullptr)
        return Say(true, absl::StrCat(key.key(), "=", value.text(),
                                      " must set this key and nothing else"));
      v1::JobSpec spec = asked_;
      SetValue(key, value, spec);
      Judge(key.key(), spec);
    }
  }

  void CheckRange(const v1::SweepKey& key, const FieldDescriptor& field) {
    const v1::SweepRange& range = key.range();
    const std::string words = absl::StrCat(key.key(), "=", range.min(), "..", range.max());
    if (!array_.random())
      return Say(true,
                 absl::StrCat(
                     words, ": only a random sweep draws from a range; name the values of a grid"));
    if (!IsNumber(field))
      return Say(true, absl::StrCat(words, ": ", key.key(), " is no number; name its values"));
    const bool ordered =
        std::isfinite(range.min()) && std::isfinite(range.max()) && range.min() <= range.max();
    if (!ordered || (range.log() && range.min() <= 0))
      return Say(true, absl::StrCat(words,
                                    ": from the lower to the higher number, both above 0 where the "
                                    "scale is logarithmic"));
    for (const double end : {range.min(), range.max()}) {
      v1::JobSpec spec = asked_;
      SetNumber(key.key(), absl::StrCat(end), spec);
      Judge(key.key(), spec);
    }
  }

  // What a key's value breaks; what is wrong without it is another key's.
  void Judge(const std::string& key, const v1::JobSpec& spec) {
    for (const Violation& violation : Resolve(spec).violations) {
      if (violation.field == absl::StrCat(TaskName(spec), ".", key))
        violations_.push_back(violation);
    }
  }

  void CountTasks() {
    int64_t combinations = array_.sweep_size() > 0 ? 1 : 0;
    for (const v1::SweepKey& key : array_.sweep())
      combinations =
          std::min<int64_t>(combinations * std::max(1, key.values_size()), int64_t{kTasksMax} + 1);
    if (!array_.random() && combinations > 0) {
      if (array_.count() != 0 && array_.count() != combinations && combinations <= kTasksMax)
        Say(true, absl::StrCat("the sweep has ", combinations, " combinations, not ",
                               array_.count(), "; leave the count out"));
      array_.set_count(static_cast<int32_t>(combinations));
    }
    Say(array_.count() < 1 || array_.count() > kTasksMax,
        array_.count() > kTasksMax
            ? absl::StrCat("an array has at most ", kTasksMax, " tasks, these are more")
            : absl::StrCat("an array of ", array_.count(), " tasks; it takes 1 to ", kTasksMax));
    Say(array_.first() < 0 || int64_t{array_.first()} + array_.count() > kIndexMax,
        absl::StrCat("indices run from 0 to ", kIndexMax));
    Say(array_.running_max() < 0, "so many tasks at once cannot be below 0; 0 means no limit");
  }

  const v1::JobSpec& asked_;
  v1::Array& array_;
  std::vector<Violation> violations_;
};

}  // namespace

std::vector<Violation> CompleteArray(const v1::JobSpec& asked, int64_t seed, v1::Array& array) {
  if (asked.task_case() == v1::JobSpec::TASK_NOT_SET)
    return {};  // said of the specification itself
  v1::Array clean;
  clean.set_first(array.first());
  clean.set_count(array.count());
  clean.set_running_max(array.running_max());
  *clean.mutable_sweep() = array.sweep();
  clean.set_random(array.random());
  clean.set_seed(array.seed() != 0 || !array.random() ? array.seed() : seed);
  *clean.mutable_asked() = asked;
  array = std::move(clean);
  return Check(asked, array).Run();
}

TaskSpec SpecOfTask(const v1::Array& array, int place) {
  TaskSpec task{array.asked(), {}};
  std::vector<size_t> picks(static_cast<size_t>(array.sweep_size()), 0);
  size_t rest = static_cast<size_t>(place);
  for (int i = array.sweep_size() - 1; i >= 0 && !array.random(); --i) {
    const size_t size = static_cast<size_t>(std::max(1, array.sweep(i).values_size()));
    picks[static_cast<size_t>(i)] = rest % size;
    rest /= size;
  }
  for (int i = 0; i < array.sweep_size(); ++i) {
    const v1::SweepKey& key = array.sweep(i);
    v1::TaskValue& shown = task.values.emplace_back();
    shown.set_key(key.key());
    const uint64_t bits = Draw(array.seed(), place, i);
    if (key.has_range()) {
      shown.set_text(DrawNumber(key.range(), IsWhole(task.asked, key.key()), bits));
      SetNumber(key.key(), shown.text(), task.asked);
      continue;
    }
    if (key.values().empty()) continue;
    const size_t pick = array.random() ? bits % static_cast<size_t>(key.values_size())
                                       : picks[static_cast<size_t>(i)];
    const v1::SweepValue& value = key.values(static_cast<int>(pick));
    shown.set_text(value.text());
    SetValue(key, value, task.asked);
  }
  ReplaceIndex(absl::StrCat(array.first() + place), task.asked);
  return task;
}

}  // namespace yoke::jobs
