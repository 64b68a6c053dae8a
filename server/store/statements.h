// Statements of one connection that are prepared once and used again and again.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <map>
#include <memory>

namespace yoke::store {

// Of one thread. The database must outlive it.
class Statements {
 public:
  // A statement for the time of a scope: without bindings at its begin, reset at its end.
  class Use {
   public:
    explicit Use(SQLite::Statement& statement) : statement_(statement) {}
    ~Use() {
      statement_.tryReset();
      statement_.clearBindings();
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    SQLite::Statement* operator->() const { return &statement_; }
    SQLite::Statement& operator*() const { return statement_; }

   private:
    SQLite::Statement& statement_;
  };

  explicit Statements(SQLite::Database& database) : database_(database) {}

  // REQUIRES: `sql` lives as long as this, and is in no use now.
  Use Get(const char* sql) {
    std::unique_ptr<SQLite::Statement>& statement = prepared_[sql];
    if (statement == nullptr) statement = std::make_unique<SQLite::Statement>(database_, sql);
    return Use(*statement);
  }

  // What a query for one number says. As Get.
  int64_t Number(const char* sql) {
    const Use query = Get(sql);
    query->executeStep();
    return query->getColumn(0).getInt64();
  }

  SQLite::Database& database() const { return database_; }

 private:
  SQLite::Database& database_;
  std::map<const char*, std::unique_ptr<SQLite::Statement>> prepared_;
};

}  // namespace yoke::store
