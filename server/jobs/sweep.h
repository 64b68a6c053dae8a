// What differs between the tasks of an array: the index, and the values of a sweep. Pure.
#pragma once

#include <vector>

#include "server/jobs/spec.h"
#include "yoke/v1/job.pb.h"

namespace yoke::jobs {

inline constexpr int kTasksMax = 100'000;

// Checks an array as it was asked for and fills in the rest: `asked`, the count of a grid, the seed
// (`seed` where none was given). Each value is checked by itself with what `asked` says; that takes
// as long as there are values, however many tasks they make. What the server says is cleared.
std::vector<Violation> CompleteArray(const v1::JobSpec& asked, int64_t seed, v1::Array& array);

struct TaskSpec {
  v1::JobSpec asked;
  std::vector<v1::TaskValue> values;  // of the sweep, in its order
};
// Of the task that is number `place` (from 0). Equal arrays give equal tasks.
TaskSpec SpecOfTask(const v1::Array& array, int place);

}  // namespace yoke::jobs
