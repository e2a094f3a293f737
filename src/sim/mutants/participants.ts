import { mutant as changed, type Mutant } from './mutant.ts'

/** A mutant of one edit, for runs with participants. */
function mutant(...parts: Parameters<typeof changed>): Mutant {
  return { ...changed(...parts), profile: 'participants' }
}

/** Mistakes in key-value participants and services. They are looked for where those take part. */
export const PARTICIPANT_MUTANTS: readonly Mutant[] = [
  mutant(
    'kv-vote-before-durable',
    'a key-value participant votes "commit" before that is on its disk (P4)',
    'src/kv/engine/voting.ts',
    '    await this.#writing.get(txid)\n',
    '    await Promise.resolve()\n',
  ),
  mutant(
    'kv-locks-not-taken-back',
    'after a restart branches in doubt do not have their locks again when the port opens',
    'src/kv/engine/kv-participant.ts',
    '      kv.#branches.takeBack(opened.state.inDoubt.values())\n',
    '',
  ),
  mutant(
    'kv-unknown-branch-votes-readonly',
    'PREPARE for a branch that was lost in a restart is answered as one that wrote nothing',
    'src/kv/engine/voting.ts',
    "    if (branch === undefined) return this.#refuse(txid, 'unknown')\n",
    "    if (branch === undefined) return { kind: 'readOnly' }\n",
  ),
  mutant(
    'kv-checkpoint-loses-in-doubt',
    'a checkpoint cuts the log and does not carry the branches in doubt over',
    'src/kv/engine/durable-log.ts',
    'const carried = [...this.state.inDoubt.values()].map(',
    'const carried = [...this.state.inDoubt.values()].slice(0, 0).map(',
  ),
  mutant(
    'kv-commit-applied-again',
    'a commit that is told again is applied again, over what came after it',
    'src/kv/engine/state.ts',
    '    this.#inDoubt.delete(txid)\n    return row',
    '    return row',
  ),
  mutant(
    'kv-read-without-lock',
    'a read does not hold its lock until the end of its transaction, so an audit sees half of a transfer',
    'src/kv/engine/branch.ts',
    "      await this.#lock(keySpan(stored), 'shared')\n",
    '',
  ),
  mutant(
    'kv-locks-released-at-vote',
    'a branch gives its locks back when it votes, and not when it ends',
    'src/kv/engine/voting.ts',
    '    branches.hold(txid)\n',
    "    branches.hold(txid)\n    branches.release(txid, 'has voted')\n",
  ),
  mutant(
    'kv-lone-commit-not-durable',
    'a commit in one phase is acknowledged before it is on disk (P3)',
    'src/kv/engine/kv-participant.ts',
    "    await this.#log.append({ kind: 'prepared', row: judged.row }, { kind: 'committed', txid: id })\n",
    "    this.#log.append({ kind: 'prepared', row: judged.row }, { kind: 'committed', txid: id }).catch(() => undefined)\n",
  ),
  mutant(
    'service-vote-before-durable',
    'a service votes "commit" before that is in its journal (P4)',
    'src/participant/service/branch-keeper.ts',
    '      await this.#note(open.key, STATE_OF[vote])\n',
    '      this.#note(open.key, STATE_OF[vote]).catch(() => undefined)\n',
  ),
  mutant(
    'service-journal-forgets-open',
    'the rewriting of a journal keeps only branches that have ended',
    'src/participant/service/wal-journal.ts',
    'const records = [...this.#states.all()].map(encode)',
    'const records = [...this.#states.all()].filter(({ state }) => isOver(state)).map(encode)',
  ),
  mutant(
    'decision-overtakes-work',
    'a decision is carried out while a call still works for the branch, and what that sets aside is left behind',
    'src/participant/service/branch-keeper.ts',
    "    if (open.working > 0 || open.phase === 'preparing' || open.isEnding) return\n",
    "    if (open.phase === 'preparing' || open.isEnding) return\n",
  ),
  mutant(
    'doubt-presumes-abort',
    'a participant in doubt aborts when the coordinators say that the transaction is still being decided (P4)',
    'src/participant/service/inquirer.ts',
    '    default:\n      return undefined\n',
    "    default:\n      return 'abort'\n",
  ),
  mutant(
    'http-acknowledges-too-early',
    'a service that is called over HTTP says "committed" before it has committed',
    'src/participant/http/desk.ts',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
    '    if ((await awaited) === undefined) return still(`the ${decision}`)\n    // Somebody may',
    '    awaited.catch(() => undefined)\n    // Somebody may',
  ),
]
