#!/usr/bin/env python3
"""Seeds bugs into engine/kv and engine/sched, one at a time, and demands that the simulation finds
each of them.

  mutation_test.py BUILD_DIRECTORY REPOSITORY

Only the file with the bug is compiled again (ccache remembers it) and linked in front of the real
library. A bug is found when the simulation fails, by a check of its own or of the code's.
"""

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUILD, REPOSITORY = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
ENGINE = "src/engine/"
SCENARIOS = ["2000", "10000"]  # most bugs show early
SECONDS_MAX = 120  # a bug may also make it run for ever

# What goes wrong, where, the right text, the wrong one.
BUGS = [
    ("a reference too many is left", "kv/block_pool.cc", "if (--refs > 0) return;", "if (--refs > 1) return;"),
    ("a cached block that is used stays evictable", "kv/block_pool.cc", "if (refs == 0) remove_cached(block.value);", ""),
    ("the newest block is evicted, not the oldest", "kv/block_pool.cc", "link(blocks()).next};", "link(blocks()).previous};"),
    ("a hit is not verified token by token", "kv/prefix_index.cc",
     "std::ranges::equal(\n             key.tokens,\n             std::span(tokens_).subspan(static_cast<size_t>(first_token(block)), block_tokens_));",
     "true;"),
    ("salts and adapters share blocks", "kv/prefix_index.cc", "candidate.scope == key.scope &&", ""),
    ("a block is found under another prefix", "kv/prefix_index.cc", "candidate.parent == key.parent &&", ""),
    ("an erased block stays in its bucket", "kv/prefix_index.cc", "*place = erased.next;", ""),
    ("a shared tail is written without a copy", "kv/block_cache.cc", "if (!tail_is_shared(*table)) return std::nullopt;", "return std::nullopt;"),
    ("a block taken over from the index is not referenced", "kv/block_cache.cc", "pool_.ref(known);\n      unref(block);", "unref(block);"),
    ("blocks are published too early", "kv/block_cache.cc", "const size_t full = tokens.size() / block_tokens;",
     "const size_t full = std::min(table->blocks.size(), tokens.size() / block_tokens + 1);"),
    ("heads of prefixes are evicted before their ends", "kv/block_cache.cc",
     "unref(table->blocks.back());\n    table->blocks.pop_back();",
     "unref(table->blocks.front());\n    table->blocks.erase(table->blocks.begin());"),
    ("a full hit leaves nothing to compute", "sched/plan.cc", ".first(sequence.tokens.size() - 1)", ".first(sequence.tokens.size())"),
    ("prompts whose logits are wanted are looked up", "sched/plan.cc", "if (sequence.prompt_logits) return;", ""),
    ("the senior is preempted", "sched/plan.cc", "preempt(running_.back());", "preempt(running_.front());"),
    ("admission leaves no room to grow", "sched/plan.cc",
     "return slots(sequence) * std::min(to_the_end, growth_max) + tails;",
     "return 0 * (to_the_end + growth_max + tails);"),
    ("admission forgets what the others still need", "sched/plan.cc",
     "needed += missing_blocks(*other) + growth_blocks(*other, growth_max);", ""),
    ("a copy of a tail is not counted", "sched/plan.cc", "(copies_tail ? 1 : 0)", "0 * copies_tail"),
    ("a beam gets ahead of the others", "sched/plan.cc", "count = std::min(count, sequence.remaining() - 1);", ""),
    ("some beams of a search are preempted", "sched/plan.cc",
     "for (Sequence* one : together_with(sequence) | std::views::reverse) {", "for (Sequence* one : {sequence}) {"),
    ("beams are admitted one by one", "sched/plan.cc", "for (Sequence* one : together) admit(one);", "admit(sequence);"),
    ("the budget is not used up by slices", "sched/plan.cc", "budget_.tokens -= count;", ""),
    ("more rows of logits than allowed", "sched/plan.cc",
     "if (sequence->prompt_logits) budget_.prompt_logits -= count;", ""),
    ("a static batch takes newcomers", "sched/plan.cc", "while (batch_ended && admit_next()", "while (admit_next()"),
    ("decoding runs beside whole prompts under iteration-level batching", "sched/plan.cc",
     "admit_and_slice();\n      if (plan_.empty()) slice_decoding();", "admit_and_slice();\n      slice_decoding();"),
    ("a sequence generates one token too many", "sched/scheduler.cc", "sequence.total() >= sequence.tokens_max", "sequence.total() > sequence.tokens_max"),
    ("stop tokens are ignored", "sched/scheduler.cc", "return EndReason::kStop;", "return EndReason::kNone;"),
    ("who leaves keeps the blocks", "sched/scheduler.cc", "void Scheduler::leave(Sequence* sequence) {\n  cache_.release(&sequence->table);", "void Scheduler::leave(Sequence* sequence) {"),
    ("cancels during a step are forgotten", "sched/scheduler.cc", "if (found != sequences_.end()) drop_cancelled(found->second.get());", ""),
    ("a failed step spares the choices of its prompts", "sched/scheduler.cc", "for (Sequence* choice : sequence->choices) fail(choice);", ""),
    ("a prompt is paused before its choices have begun", "sched/scheduler.cc", "found == sequences_.end() || !found->second->choices.empty()", "found == sequences_.end()"),
    ("a better priority waits behind a blocked head", "sched/scheduler.cc",
     "if (head_ == nullptr || !WaitingQueue::outranks(*sequence, *head_)) return;", "return;"),
    ("choices begin with the KV of one token less", "sched/scheduler.cc", "choice->computed = leader->computed;", "choice->computed = leader->computed - 1;"),
    ("a beam takes the tokens of its parent and not the KV", "sched/scheduler.cc",
     "inheritance.heir->table = std::move(inheritance.table);", "inheritance.heir->table = std::move(inheritance.table); cache_.release(&inheritance.heir->table); cache_.extend(&inheritance.heir->table, inheritance.heir->computed);"),
    ("a beam's own blocks are not given back", "sched/scheduler.cc", "cache_.release(&inheritance.heir->table);", ""),
    ("beams take from parents that have been replaced", "sched/scheduler.cc",
     "cache_.fork(parent.table, &inheritance.table);", "cache_.release(&heir->table); cache_.fork(parent.table, &inheritance.table);"),
    ("a search is accepted that never fits", "sched/scheduler.cc", "if (blocks <= options_.blocks) return absl::OkStatus();", "return absl::OkStatus();"),
    ("a failed step spares beams that had no part in it", "sched/scheduler.cc", "for (Sequence* one : together_with(sequence)) fail(one);", "fail(sequence);"),
    ("priorities are ignored in the queue", "sched/waiting_queue.cc", "if (a.priority != b.priority) return a.priority < b.priority;", ""),
    ("who was preempted queues up behind newcomers", "sched/waiting_queue.cc", "if (a.was_admitted != b.was_admitted) return a.was_admitted;",
     "if (a.was_admitted != b.was_admitted) return b.was_admitted;"),
    ("the tenant served most goes first", "sched/waiting_queue.cc",
     "std::tuple(head->priority, account.served, head->id.value) <\n                               std::tuple(next->priority, next_served, next->id.value)",
     "std::tuple(head->priority, -account.served, head->id.value) <\n                               std::tuple(next->priority, -next_served, next->id.value)"),
]

# Built like the others, and nothing may be found.
CONTROL = ("nothing", "kv/block_pool.cc", "if (--refs > 0) return;", "if (--refs > 0) return;")
BUGS.append(CONTROL)


def compile_command(source):
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"] == str(source):
            return shlex.split(entry["command"]), entry["directory"]
    raise SystemExit(f"{source} is not in compile_commands.json")


def build_mutant(directory, bug):
    """The path of a simulation with the bug, or the reason why there is none."""
    _, file, right, wrong = bug
    source = REPOSITORY / ENGINE / file
    text = source.read_text()
    if text.count(right) != 1:
        return None, f"the text to replace occurs {text.count(right)} times"
    mutant = directory / Path(file).name
    mutant.write_text(text.replace(right, wrong))
    command, where = compile_command(source)
    command = [str(mutant) if word == str(source) else word for word in command]
    output = directory / "mutant.o"
    command[command.index("-o") + 1] = str(output)
    for flag in ("-MF", "-MT"):
        if flag in command:
            command[command.index(flag) + 1] = str(directory / "mutant.d")
    # It need not be fast nor free of what the bug left unused.
    command += ["-O1", "-Wno-error"]
    compiled = subprocess.run(command, cwd=where, capture_output=True, text=True)
    if compiled.returncode != 0:
        return None, compiled.stderr
    objects = BUILD / "tests/CMakeFiles/simulate_test.dir/simulate"
    libraries = ["engine", "model", "compute", "base"]
    program = directory / "simulation"
    link = ["g++", "-o", str(program), str(output), *[str(objects / f"{name}.cc.o") for name in ("simulation", "scenario", "check_plan")],
            str(objects / "scheduler_simulation_test.cc.o"),
            *[str(BUILD / f"src/libbrisk_{name}.a") for name in libraries],
            "-lgtest", "-lgtest_main", "-labsl_status", "-labsl_statusor", "-labsl_raw_hash_set",
            "-labsl_hash", "-labsl_city", "-labsl_low_level_hash", "-labsl_cord",
            "-labsl_raw_logging_internal", "-labsl_hashtablez_sampler", "-labsl_strings",
            "-labsl_throw_delegate", "-labsl_bad_variant_access", "-labsl_cord_internal",
            "-labsl_cordz_info", "-labsl_cordz_functions", "-labsl_cordz_handle",
            "-labsl_synchronization", "-labsl_time", "-labsl_strerror", "-labsl_base",
            "-labsl_spinlock_wait", "-labsl_str_format_internal", "-labsl_int128",
            "-lfmt", "-lspdlog", "-lxxhash", "-lpthread"]
    if "-fuse-ld=mold" in " ".join(command) or Path("/usr/bin/mold").exists():
        link.insert(1, "-fuse-ld=mold")
    linked = subprocess.run(link, capture_output=True, text=True)
    return (program, "") if linked.returncode == 0 else (None, linked.stderr)


def finds(program, scenarios):
    environment = dict(os.environ, BRISK_SIMULATE_SCENARIOS=scenarios)
    try:
        run = subprocess.run([program, "--gtest_filter=SchedulerSimulation.*"], env=environment,
                             capture_output=True, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return True
    return run.returncode != 0


def judge(number):
    """Empty when the simulation finds the bug, else what is wrong."""
    directory = BUILD / "mutants" / str(number)  # always the same, for ccache
    directory.mkdir(parents=True, exist_ok=True)
    program, problem = build_mutant(directory, BUGS[number])
    if program is None:
        return f"cannot be built: {problem}"
    found = any(finds(program, scenarios) for scenarios in SCENARIOS)
    program.unlink()
    if BUGS[number] is CONTROL:
        return "found where there is none" if found else ""
    return "" if found else "NOT FOUND"


def main():
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        verdicts = list(pool.map(judge, range(len(BUGS))))
    missed = [(bug, verdict) for bug, verdict in zip(BUGS, verdicts) if verdict]
    for (what, file, *_), verdict in missed:
        print(f"{file}: {what}: {verdict}")
    if not missed:
        print(f"all {len(BUGS) - 1} seeded bugs are found by the simulation, and none without one")
    sys.exit(1 if missed else 0)


main()
