#include "serve/batch/journal.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <sqlite3.h>

#include <utility>

#include "base/status.h"

namespace brisk::batch {
namespace {

constexpr char kSchema[] = R"(
  CREATE TABLE IF NOT EXISTS documents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, text TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS documents_of ON documents (kind, owner, seq);
  CREATE TABLE IF NOT EXISTS results (
    batch TEXT NOT NULL, line INTEGER NOT NULL, success INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (batch, line)) WITHOUT ROWID;
)";

// A statement that runs once; its parameters are bound in order.
class Query {
 public:
  Query(sqlite3* database, const char* sql) : database_(database) {
    code_ = sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Query() { sqlite3_finalize(statement_); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // `text` must live until the query has ended.
  Query& bind(std::string_view text) {
    if (code_ == SQLITE_OK) {
      code_ = sqlite3_bind_text64(statement_, ++bound_, text.data() == nullptr ? "" : text.data(),
                                  text.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    return *this;
  }
  Query& bind(int64_t value) {
    if (code_ == SQLITE_OK) code_ = sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }

  // True: there is a row to read.
  bool next() {
    if (code_ == SQLITE_OK || code_ == SQLITE_ROW) code_ = sqlite3_step(statement_);
    return code_ == SQLITE_ROW;
  }
  absl::Status run() {
    while (next()) {
    }
    return status();
  }
  absl::Status status() const {
    if (code_ == SQLITE_OK || code_ == SQLITE_ROW || code_ == SQLITE_DONE) return absl::OkStatus();
    if (code_ == SQLITE_CONSTRAINT) return absl::AlreadyExistsError("the journal has that already");
    return system_error("the journal: {}", sqlite3_errmsg(database_));
  }

  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
    return bytes == nullptr ? std::string() : std::string(bytes, size);
  }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3* const database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  int code_ = SQLITE_OK;
};

Document read_document(const Query& query) {
  return {
      .kind = query.text(0), .id = query.text(1), .owner = query.text(2), .text = query.text(3)};
}

class SqliteJournal final : public Journal {
 public:
  explicit SqliteJournal(sqlite3* database) : database_(database) {}
  ~SqliteJournal() override { sqlite3_close(database_); }

  absl::Status prepare(const std::string& path) {
    absl::MutexLock lock(&mutex_);
    for (const char* sql : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL",
                            "PRAGMA synchronous=FULL", kSchema}) {
      if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) continue;
      const bool busy = sqlite3_errcode(database_) == SQLITE_BUSY;
      return system_error("{}: {}{}", path, sqlite3_errmsg(database_),
                          busy ? "; another brisk is using it" : "");
    }
    return absl::OkStatus();
  }

  absl::Status insert(const Document& document) override {
    absl::MutexLock lock(&mutex_);
    return insert_locked(document);
  }

  absl::Status update(const std::string& id, std::string_view text) override {
    absl::MutexLock lock(&mutex_);
    return update_locked(id, text);
  }

  absl::Status remove(const std::string& id) override {
    absl::MutexLock lock(&mutex_);
    return Query(database_, "DELETE FROM documents WHERE id = ?").bind(id).run();
  }

  absl::StatusOr<std::optional<Document>> find(std::string_view kind,
                                               std::string_view id) override {
    absl::MutexLock lock(&mutex_);
    Query query(database_, "SELECT kind, id, owner, text FROM documents WHERE kind = ? AND id = ?");
    query.bind(kind).bind(id);
    if (query.next()) return std::optional<Document>(read_document(query));
    BRISK_RETURN_IF_ERROR(query.status());
    return std::optional<Document>();
  }

  absl::StatusOr<std::vector<Document>> list(const ListQuery& asked) override {
    absl::MutexLock lock(&mutex_);
    const char* sql =
        asked.newest_first
            ? "SELECT kind, id, owner, text FROM documents WHERE kind = ?1 AND owner = ?2 AND "
              "(?3 = '' OR seq < (SELECT seq FROM documents WHERE id = ?3)) "
              "ORDER BY seq DESC LIMIT ?4"
            : "SELECT kind, id, owner, text FROM documents WHERE kind = ?1 AND owner = ?2 AND "
              "(?3 = '' OR seq > (SELECT seq FROM documents WHERE id = ?3)) "
              "ORDER BY seq ASC LIMIT ?4";
    Query query(database_, sql);
    query.bind(asked.kind).bind(asked.owner).bind(asked.after).bind(int64_t{asked.limit} + 1);
    return read_all(query);
  }

  absl::StatusOr<std::vector<Document>> all(std::string_view kind) override {
    absl::MutexLock lock(&mutex_);
    Query query(database_,
                "SELECT kind, id, owner, text FROM documents WHERE kind = ? ORDER BY seq");
    query.bind(kind);
    return read_all(query);
  }

  absl::Status add_results(const std::vector<LineResult>& results) override {
    absl::MutexLock lock(&mutex_);
    return in_transaction([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      for (const LineResult& result : results) {
        BRISK_RETURN_IF_ERROR(Query(database_, "INSERT INTO results VALUES (?, ?, ?, ?)")
                                  .bind(result.batch)
                                  .bind(result.line)
                                  .bind(int64_t{result.success})
                                  .bind(result.text)
                                  .run());
      }
      return absl::OkStatus();
    });
  }

  absl::Status visit_results(const std::string& batch,
                             const std::function<void(LineResult)>& visit) override {
    absl::MutexLock lock(&mutex_);
    Query query(database_, "SELECT line, success, text FROM results WHERE batch = ? ORDER BY line");
    query.bind(batch);
    while (query.next()) {
      visit({.batch = batch,
             .line = query.integer(0),
             .success = query.integer(1) != 0,
             .text = query.text(2)});
    }
    return query.status();
  }

  absl::Status finish(const std::string& batch, std::string_view text,
                      const std::vector<Document>& files) override {
    absl::MutexLock lock(&mutex_);
    return in_transaction([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      for (const Document& file : files) BRISK_RETURN_IF_ERROR(insert_locked(file));
      BRISK_RETURN_IF_ERROR(update_locked(batch, text));
      return Query(database_, "DELETE FROM results WHERE batch = ?").bind(batch).run();
    });
  }

 private:
  absl::Status insert_locked(const Document& document) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return Query(database_, "INSERT INTO documents (kind, id, owner, text) VALUES (?, ?, ?, ?)")
        .bind(document.kind)
        .bind(document.id)
        .bind(document.owner)
        .bind(document.text)
        .run();
  }

  absl::Status update_locked(std::string_view id, std::string_view text)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return Query(database_, "UPDATE documents SET text = ? WHERE id = ?").bind(text).bind(id).run();
  }

  static absl::StatusOr<std::vector<Document>> read_all(Query& query) {
    std::vector<Document> documents;
    while (query.next()) documents.push_back(read_document(query));
    BRISK_RETURN_IF_ERROR(query.status());
    return documents;
  }

  template <class Work>
  absl::Status in_transaction(const Work& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    BRISK_RETURN_IF_ERROR(Query(database_, "BEGIN IMMEDIATE").run());
    absl::Status status = work();
    if (status.ok()) status = Query(database_, "COMMIT").run();
    if (!status.ok()) (void)Query(database_, "ROLLBACK").run();
    return status;
  }

  absl::Mutex mutex_;
  sqlite3* const database_ ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::open(const std::string& path) {
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  auto journal = std::make_unique<SqliteJournal>(database);
  if (code != SQLITE_OK) {
    return system_error("{}: {}", path,
                        database == nullptr ? "out of memory" : sqlite3_errmsg(database));
  }
  BRISK_RETURN_IF_ERROR(journal->prepare(path));
  return journal;
}

}  // namespace brisk::batch
