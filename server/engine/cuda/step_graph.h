// Work of a device, recorded once and then launched as a whole.
#pragma once

#include <functional>
#include <memory>

namespace yoke::engine {

class StepGraph {
 public:
  virtual ~StepGraph() = default;
  // Records what `work` asks of the device; none of it is done. The tensors that it reads, changes
  // and makes are those of every replay, so they must stay. Throws what `work` throws, or
  // c10::Error if some of it cannot be recorded: whatever waits for the device.
  virtual void Record(const std::function<void()>& work) = 0;
  // Does what was recorded, with what the tensors hold now.
  virtual void Replay() = 0;
};

using StepGraphFactory = std::function<std::unique_ptr<StepGraph>()>;

}  // namespace yoke::engine
