#include "server/service/submission.h"

#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/time_util.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/sweep.h"
#include "server/service/errors.h"
#include "server/service/request_fields.h"

namespace yoke::service {
namespace {

constexpr size_t kDisplayNameMax = 200;
constexpr int kPriorityMax = 100;
constexpr int64_t kShareBytesMin = int64_t{64} << 20;

// 8-4-4-4-12 hexadecimal digits.
bool IsUuid(const std::string& text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(text[i])) return false;
  }
  return true;
}

// Same hash, same request: over what was asked, not over what it resolves to.
std::string RequestHash(v1::CreateJobRequest request) {
  request.clear_request_id();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return absl::BytesToHexString(digest);
}

void CheckEnvelope(const v1::CreateJobRequest& request, std::vector<jobs::Violation>& violations) {
  if (const std::string problem = DisplayNameProblem(request.display_name()); !problem.empty())
    violations.push_back({"display_name", problem});
  if (const std::string problem = PriorityProblem(request.priority()); !problem.empty())
    violations.push_back({"priority", problem});
  if (!request.request_id().empty() && !IsUuid(request.request_id())) {
    violations.push_back({"request_id",
                          "request_id must be a UUID, e.g. 123e4567-e89b-42d3-a456-426614174000; "
                          "make a new one for each request"});
  }
}

// The batches of a sweep, as that of one job.
void CheckBatches(const v1::Array& array, int world_size,
                  std::vector<jobs::Violation>& violations) {
  for (const v1::SweepKey& key : array.sweep()) {
    if (key.key() != "batch") continue;
    for (const v1::SweepValue& value : key.values()) {
      const auto wrong = jobs::CheckForWorldSize(value.spec(), world_size);
      violations.insert(violations.end(), wrong.begin(), wrong.end());
    }
  }
}

// Of a random sweep that names none; never 0.
int64_t NewSeed() { return 1 + static_cast<int64_t>(absl::ToUnixNanos(absl::Now()) & INT32_MAX); }

// Paths are the server's: relative ones mean nothing here.
void CheckResume(const v1::JobSpec& spec, std::vector<jobs::Violation>& violations) {
  const absl::StatusOr<std::optional<std::string>> resumed = ResumedJob(spec);
  if (!resumed.ok())
    violations.push_back({"train.resume", std::string(resumed.status().message())});
}

absl::Status CheckParent(const jobs::JobRecord& parent) {
  const v1::Job& job = parent.public_job;
  std::string problem;
  if (jobs::TrainPart(job.spec()) == nullptr) {
    problem = absl::StrCat("it is a ", jobs::TaskName(job.spec()), " job, not a training");
  } else if (!jobs::IsTerminal(job.state())) {
    problem = absl::StrCat("it is still ", v1::Job::State_Name(job.state()),
                           "; wait for its end or cancel it (yoke job cancel ", parent.id, ")");
  } else if (job.attempts_size() == 0) {
    problem = "it ended before it started, so it left nothing to continue";
  }
  if (problem.empty()) return absl::OkStatus();
  google::rpc::PreconditionFailure failure;
  auto& violation = *failure.add_violations();
  violation.set_type("RESUME");
  violation.set_subject(job.name());
  violation.set_description(absl::StrCat("job ", parent.id, " cannot be resumed: ", problem));
  return WithReason(WithDetail(absl::FailedPreconditionError(violation.description()), failure),
                    "NOT_RESUMABLE");
}

// Fields of `train` that are not set take what was given for the parent.
void InheritKeys(const jobs::JobRecord& parent, v1::TrainSpec& train) {
  const v1::TrainSpec& from = *jobs::TrainPart(parent.public_job.spec());
  v1::TrainSpec given;
  const google::protobuf::Reflection& reflection = *given.GetReflection();
  given = from;
  for (int i = 0; i < given.GetDescriptor()->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = given.GetDescriptor()->field(i);
    const bool was_given = std::find(parent.user_set.begin(), parent.user_set.end(),
                                     field->name()) != parent.user_set.end();
    if (!was_given || field->name() == "resume") reflection.ClearField(&given, field);
  }
  // The data set of a training that follows a processing is the one that was made.
  if (parent.public_job.spec().has_process()) given.set_data(from.data());
  given.MergeFrom(train);
  train = given;
}

// What the banner calls the ranks' devices.
std::vector<std::string> DeviceWords(const std::string& device_string,
                                     const devices::DeviceSelection& selection) {
  if (selection.devices.empty()) {
    return std::vector<std::string>(static_cast<size_t>(selection.world_size),
                                    selection.cpu ? "an idle CPU slot" : "an idle GPU");
  }
  if (selection.cpu && selection.world_size == 1 &&
      !absl::StartsWithIgnoreCase(absl::StripLeadingAsciiWhitespace(device_string), "cpu:") &&
      selection.threads_per_rank > selection.devices[0].threads()) {
    return {absl::StrCat("CPU (", selection.threads_per_rank, " cores)")};
  }
  std::vector<std::string> words;
  for (const v1::Device& device : selection.devices) {
    words.push_back(device.kind() == v1::Device::GPU
                        ? absl::StrCat("GPU ", device.index(), ": ", device.name())
                        : absl::StrCat("CPU slot ", device.index()));
  }
  words.resize(static_cast<size_t>(selection.world_size));
  return words;
}

jobs::RankMemory MemoryOf(const devices::DeviceSelection& selection,
                          const devices::DeviceInventory& inventory) {
  const v1::Device::Kind kind = selection.cpu ? v1::Device::CPU_SLOT : v1::Device::GPU;
  int64_t smallest = 0;
  const std::vector<v1::Device> candidates =
      selection.devices.empty() ? inventory.Devices() : selection.devices;
  for (const v1::Device& device : candidates) {
    if (device.kind() != kind) continue;
    if (smallest == 0 || device.memory_total_bytes() < smallest)
      smallest = device.memory_total_bytes();
  }
  // All slots have the machine's memory together.
  if (selection.cpu) return {false, smallest / std::max(selection.world_size, 1)};
  return {true, smallest};
}

// The lines for people: banner, and what is worth a warning.
void Explain(const jobs::ResolvedSpec& resolved, const devices::DeviceSelection& selection,
             const devices::DeviceInventory& inventory, const jobs::MeasuredMemory& measured,
             v1::Job& job) {
  const std::vector<std::string> banner =
      jobs::Banner(resolved.spec, DeviceWords(resolved.spec.device(), selection), !selection.cpu);
  job.mutable_banner()->Assign(banner.begin(), banner.end());
  job.mutable_warnings()->Assign(resolved.warnings.begin(), resolved.warnings.end());
  const std::vector<std::string> advice =
      jobs::Advice(resolved.spec, selection.world_size, MemoryOf(selection, inventory), measured);
  if (advice.empty()) return;
  job.add_banner(advice[0]);
  if (advice.size() > 1) job.add_warnings(absl::StrJoin(advice, "; "));
}

}  // namespace

std::string DisplayNameProblem(const std::string& name) {
  if (!HasControlCharacters(name) && name.size() <= kDisplayNameMax) return "";
  return absl::StrCat("the job's name must have at most ", kDisplayNameMax,
                      " bytes and no control characters");
}

std::string PriorityProblem(int priority) {
  if (priority >= -kPriorityMax && priority <= kPriorityMax) return "";
  return absl::StrCat("priority=", priority, " is out of range; it takes -100 to 100");
}

std::string ShareProblem(int64_t bytes, const devices::DeviceSelection& selection,
                         const devices::DeviceInventory& inventory) {
  if (bytes == 0) return "";
  if (bytes < kShareBytesMin) {
    return absl::StrCat("share_memory=", bytes, " bytes is too little; it takes at least 64MiB");
  }
  if (selection.cpu) return "CPU slots are not shared; leave share_memory out, or name GPUs";
  const int64_t smallest = MemoryOf(selection, inventory).bytes;
  if (bytes <= smallest) return "";
  return absl::StrCat("share_memory=", bytes >> 20, " MiB is more than the ", smallest >> 20,
                      " MiB that a device here has");
}

absl::StatusOr<std::optional<std::string>> ResumedJob(const v1::JobSpec& asked) {
  if (!asked.has_train() || asked.train().resume().empty()) return std::nullopt;
  const std::string& resume = asked.train().resume();
  if (absl::StartsWith(resume, "/")) return std::nullopt;
  if (jobs::ParseJobName(resume).ok()) return resume;
  return InvalidField("train.resume",
                      absl::StrCat("resume=", resume,
                                   " is neither a job's id nor an absolute path; name a job (yoke "
                                   "jobs), a run folder or a last.pt"),
                      "SPEC_INVALID");
}

jobs::MeasuredMemory MeasuredIn(const std::string& cache_dir) {
  using Known = std::map<formats::StepMemoryKind, std::optional<formats::StepMemory>>;
  return [cache_dir, known = std::make_shared<Known>()](const formats::StepMemoryKind& kind) {
    const auto found = known->find(kind);
    if (found != known->end()) return found->second;
    return known->emplace(kind, formats::FindStepMemory(cache_dir, kind)).first->second;
  };
}

absl::StatusOr<jobs::JobRecord> MakeJobRecord(const v1::CreateJobRequest& request,
                                              const jobs::JobRecord* parent,
                                              const devices::DeviceInventory& inventory,
                                              const jobs::MeasuredMemory& measured) {
  v1::JobSpec asked = request.spec();
  if (parent != nullptr) {
    YOKE_RETURN_IF_ERROR(CheckParent(*parent));
    InheritKeys(*parent, *asked.mutable_train());
  }
  std::vector<jobs::Violation> violations;
  v1::Array array = request.array();
  if (request.has_array()) {
    if (!asked.train().resume().empty())
      violations.push_back(
          {"array", "an array cannot resume a job; name its weights: model=…/last.pt"});
    const std::vector<jobs::Violation> wrong = jobs::CompleteArray(asked, NewSeed(), array);
    violations.insert(violations.end(), wrong.begin(), wrong.end());
    // What is shown and checked is the first task.
    if (wrong.empty() && asked.task_case() != v1::JobSpec::TASK_NOT_SET)
      asked = jobs::SpecOfTask(array, 0).asked;
  }
  const jobs::ResolvedSpec resolved = jobs::Resolve(asked);
  violations.insert(violations.end(), resolved.violations.begin(), resolved.violations.end());
  CheckEnvelope(request, violations);
  CheckResume(asked, violations);
  const absl::StatusOr<devices::DeviceSelection> selection =
      inventory.Resolve(resolved.spec.device());
  if (!selection.ok()) {
    if (violations.empty() || !absl::IsInvalidArgument(selection.status()))
      return AsFieldError(selection.status(), "device", "DEVICE_NOT_AVAILABLE");
    violations.push_back({"device", std::string(selection.status().message())});
  } else if (resolved.violations.empty()) {
    const std::vector<jobs::Violation> sharing =
        jobs::CheckForWorldSize(resolved.spec, selection->world_size);
    violations.insert(violations.end(), sharing.begin(), sharing.end());
    if (request.has_array()) CheckBatches(array, selection->world_size, violations);
  }
  const std::string unshareable =
      selection.ok()
          ? ShareProblem(request.scheduling().share_memory_bytes(), *selection, inventory)
          : "";
  if (!unshareable.empty()) violations.push_back({"scheduling.share_memory_bytes", unshareable});
  if (!violations.empty()) return InvalidFields(violations, "SPEC_INVALID");

  jobs::JobRecord record;
  record.id = jobs::NewJobId();
  record.user_set = resolved.user_set;
  record.request_id = absl::AsciiStrToLower(request.request_id());
  record.request_hash = RequestHash(request);
  record.uid = geteuid();
  v1::Job& job = record.public_job;
  job.set_display_name(request.display_name());
  job.set_state(v1::Job::QUEUED);
  *job.mutable_spec() = resolved.spec;
  job.set_priority(request.priority());
  *job.mutable_create_time() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(absl::Now()));
  if (parent != nullptr) job.set_parent(parent->public_job.name());
  if (request.has_array()) *job.mutable_array() = std::move(array);
  for (const v1::Device& device : selection->devices) job.add_device_uuids(device.uuid());
  Explain(resolved, *selection, inventory, measured, job);
  return record;
}

absl::Status AsSubmitError(const absl::Status& status, const std::string& field) {
  absl::string_view message = status.message();
  if (absl::IsInvalidArgument(status) && absl::ConsumePrefix(&message, "REQUEST_ID_REUSED: "))
    return InvalidField(field, std::string(message), "REQUEST_ID_REUSED");
  if (absl::IsResourceExhausted(status))
    return Exhausted(std::string(status.message()), "DISK_FULL", absl::Seconds(30));
  return status;
}

}  // namespace yoke::service
