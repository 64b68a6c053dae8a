// Which devices are not given out, and why: an operator's wish or a fault, until somebody says
// otherwise. In one small file, so that it survives restarts and whatever happens to the database.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace yoke::devices {

struct Drain {
  std::string uuid;
  std::string name;     // of the device, should it not be there any more
  std::string reason;   // for people
  bool failed = false;  // by a fault; else by an operator
  std::string since;    // for people: "2026-11-25 21:40:12 UTC"
};

// Thread-safe.
class Drains {
 public:
  // What the file holds; it need not exist. An empty path: kept in memory alone. FailedPrecondition
  // if it cannot be understood: nobody shall be given a device that was drained.
  static absl::StatusOr<std::unique_ptr<Drains>> Open(const std::string& path);

  // An operator's. Durable when it returns OK; else nothing has changed. A fault stays the reason.
  absl::Status Add(Drain drain);
  // A fault. Holds at once, whether or not it can be stored; what could not is stored by the next
  // change or Store.
  void AddFault(Drain drain);
  // Durable when it returns OK; else nothing has changed. OK if it is not there.
  absl::Status Remove(const std::string& uuid);
  // Stores what could not be stored before.
  void Store();

  std::optional<Drain> Find(const std::string& uuid) const;
  std::vector<Drain> All() const;

 private:
  using Map = std::map<std::string, Drain>;  // by UUID
  Drains(std::string path, Map drains) : path_(std::move(path)), drains_(std::move(drains)) {}
  absl::Status Write(const Map& drains) const;

  const std::string path_;
  mutable Mutex mutex_;
  Map drains_ YOKE_GUARDED_BY(mutex_);
  bool unstored_ YOKE_GUARDED_BY(mutex_) = false;
};

// What NVIDIA's error numbers mean that say a GPU cannot be trusted until somebody looked: "XID 79
// (it has fallen off the bus)". Empty for those that a program causes by itself and that end with
// it.
std::string FaultOfXid(unsigned xid);

}  // namespace yoke::devices
