// Which class of one list is which of another, by name: weights were trained on lists of their own.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::engine {

// Class names, and the file they stand in, for messages.
struct ClassList {
  std::string file;
  std::vector<std::string> names;  // class id -> name
};

// Class of the weights -> class of the common list, -1: none.
using ClassMap = std::vector<int>;

struct ClassMatch {
  std::vector<std::string> names;  // of the common list
  std::vector<ClassMap> maps;      // one a model
  std::vector<std::string>
      notes;  // for people: how classes are mapped, where they are not the same
  std::vector<std::string> warnings;
};

// The classes of several models: those of the first, then those that only later ones know.
// InvalidArgument, naming the files: a model without a class in common with those before it, or a
// name that stands twice in a list and in another one.
absl::StatusOr<ClassMatch> MatchModels(const std::vector<ClassList>& models);

// The classes of a data set, as one or several models know them. As many names without a common one
// at another place are taken for the same classes, with a warning that shows where they differ.
// `single_cls`: all are class 0, and names do not matter. InvalidArgument: as MatchModels.
absl::StatusOr<ClassMatch> MatchDataSet(const std::vector<ClassList>& models, const ClassList& data,
                                        bool single_cls);

}  // namespace yoke::engine
