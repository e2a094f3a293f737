import { mutant as changed, type Mutant } from './mutant.ts'

/** A mutant of one edit, for runs with participants. */
function mutant(...parts: Parameters<typeof changed>): Mutant {
  return { ...changed(...parts), profile: 'participants' }
}

/** Mistakes in key-value participants. They are looked for where those take part. */
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
]
