// Propagation of absl::Status: return early on error, or unwrap a StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define YOKE_RETURN_IF_ERROR(expr)                       \
  do {                                                   \
    if (absl::Status yoke_status = (expr); !yoke_status.ok()) return yoke_status; \
  } while (0)

#define YOKE_MACRO_CONCAT_INNER(a, b) a##b
#define YOKE_MACRO_CONCAT(a, b) YOKE_MACRO_CONCAT_INNER(a, b)

// YOKE_ASSIGN_OR_RETURN(auto x, F()): F returns absl::StatusOr<T>.
#define YOKE_ASSIGN_OR_RETURN(lhs, expr) \
  YOKE_ASSIGN_OR_RETURN_IMPL(YOKE_MACRO_CONCAT(yoke_status_or_, __LINE__), lhs, expr)
#define YOKE_ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                               \
  if (!var.ok()) return std::move(var).status();   \
  lhs = *std::move(var)
