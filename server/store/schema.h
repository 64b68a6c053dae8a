// The database's shape: its migrations, and the checks before anything in it is trusted.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::store {

// Statement lists; migrations[n] leads from version n to n+1.
using Migrations = std::vector<std::string>;
const Migrations& CurrentMigrations();

// Opens the writer's connection: checks the file, migrates it, sets WAL and synchronous=FULL.
// `must_exist`: the folder around it shows that there was a database, so a missing or empty one is DataLoss.
// FailedPrecondition: written by a newer yoked (the file is not touched). DataLoss: damaged or no database.
absl::StatusOr<std::unique_ptr<SQLite::Database>> OpenDatabase(const std::string& path, bool must_exist,
                                                               const Migrations& migrations = CurrentMigrations());

// Gives the columns of the newest version to a copy of a database that is only to be read, as far as it lets itself.
void UpgradeForReading(SQLite::Database& database);

// What an SQLite error means to the caller. Full disk: ResourceExhausted; damage: DataLoss; else Internal.
absl::Status ToStatus(const SQLite::Exception& error, const std::string& what);

}  // namespace yoke::store
