// Which class of some weights each class of a data set is, by name: names are identity, ids are
// not.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::engine {

struct ClassTransfer {
  // For each class of the data set the weights' class of that name, -1 for a new one. Empty:
  // classes are taken over by place, because the lists agree or nothing in them says otherwise.
  std::vector<int> source;
  int matched = 0;

  bool by_name() const { return !source.empty(); }
};

// Names match without regard to case (of ASCII letters) and to blanks around them. Placeholders
// ("3" or "class3" for class 3) match nothing. InvalidArgument: a name that both lists have stands
// twice in one of them; says which and what to do.
absl::StatusOr<ClassTransfer> MatchClasses(const std::vector<std::string>& from,
                                           const std::vector<std::string>& to);

// The mapping as a table for people, one line a class; the first line says what it is. Nothing
// where both lists agree. At most 200 classes.
std::vector<std::string> DescribeTransfer(const ClassTransfer& map,
                                          const std::vector<std::string>& from,
                                          const std::vector<std::string>& to);

}  // namespace yoke::engine
