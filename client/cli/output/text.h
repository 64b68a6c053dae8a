// Jobs, devices and events as people read them.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "yoke/v1/device.pb.h"
#include "yoke/v1/job.pb.h"

namespace yoke::cli {

// "45s", "12m", "3h", "2d".
std::string ShortDuration(absl::Duration duration);
// "11.7 GiB".
std::string Bytes(int64_t bytes);
absl::Time ToTime(const google::protobuf::Timestamp& timestamp);

// "RUNNING"; "3/100 epochs", "12/128 images" or the phase.
std::string StateWord(const v1::Job& job);
std::string ProgressWord(const v1::Job& job);

// Title line and one line per job; `wide` adds the data set, the device ids and the run folder.
std::string JobTable(const std::vector<v1::Job>& jobs, absl::Time now, bool wide, int width);
// All there is to know about one job, for people.
std::string JobDetails(const v1::Job& job);
// "job ID failed: rank 1 was killed by signal 9 (Killed)" and its last lines; empty when it succeeded.
std::string FailureText(const v1::Job& job);
// One or two lines about what a job that succeeded brought; empty when there is no result.
std::string ResultText(const v1::Job& job);

std::string DeviceTable(const std::vector<v1::Device>& devices, bool wide, int width);
std::string ChoiceTable(const v1::ListDevicesResponse& answer);

}  // namespace yoke::cli
