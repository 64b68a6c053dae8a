// What a training state remembers of its data, so that a resume can tell whether it is still the
// same.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server/engine/data/dataset.h"

namespace yoke::engine {

// Of each image a fingerprint of its file name and one of its size in pixels and bytes and of its
// labels. Folders do not count: a data set that was moved is the same.
using ImageMarks = std::vector<std::pair<int64_t, int64_t>>;

struct DataIdentity {
  std::vector<std::string> names;  // class id -> name
  ImageMarks train, val;           // val is empty where a training does not validate
};

// Asks the file system for the images' sizes in bytes.
DataIdentity IdentityOf(const std::vector<std::string>& names, const Split& train,
                        const Split& val);

// How `now` differs from `saved`, in words: the first classes that differ, how many images were
// added, removed and changed. Empty if they are the same. A split that one of them lacks is not
// compared.
std::string Difference(const DataIdentity& saved, const DataIdentity& now);

}  // namespace yoke::engine
