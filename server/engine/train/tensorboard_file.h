// The epochs' scalars as TensorBoard reads them: events.out.tfevents.* in the run folder.
// Format: TFRecord frames (length, its masked CRC-32C, bytes, theirs) of tensorflow.Event messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/engine/observer.h"

namespace yoke::engine {

class TensorBoardFile {
 public:
  explicit TensorBoardFile(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  // One event with all columns of the epoch, at step `epoch`. The file is made by the first call; a
  // run that is resumed gets another one beside it. ResourceExhausted: disk full.
  absl::Status Append(const EpochReport& report);

 private:
  const std::string run_dir_;
  std::string path_;
};

// CRC-32C (Castagnoli, RFC 3720).
uint32_t Crc32c(std::string_view bytes);

}  // namespace yoke::engine
