// events.out.tfevents.*, the file that TensorBoard follows: TFRecord frames (length, its masked
// CRC-32C, bytes, theirs) of tensorflow.Event messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/engine/plots/tensorboard/wire_message.h"

namespace yoke::engine {

// One writer. Frames are whole: one that cannot be written to its end is cut off again.
class EventFile {
 public:
  // The file is made by the first Append, under a name of its own, so that a run that is resumed
  // gets another one beside the first; TensorBoard reads them as one run.
  explicit EventFile(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  // An event of a tensorflow.Summary. ResourceExhausted: disk full. Internal: another I/O error.
  // Both name the file.
  absl::Status Append(int64_t step, const WireMessage& summary);

 private:
  const std::string run_dir_;
  std::string path_;
};

// CRC-32C (Castagnoli, RFC 3720).
uint32_t Crc32c(std::string_view bytes);

}  // namespace yoke::engine
