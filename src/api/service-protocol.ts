import { z } from 'zod'
import { BRANCHES_MAX, isParticipantName, parseClusterId, parseGid, parseTxid } from '../base/index.ts'

/** What stands behind a service's URL. A change that an older side would misread gets another prefix. */
export const SERVICE_PATHS = {
  prepare: '/v1/prepare',
  commit: '/v1/commit',
  abort: '/v1/abort',
  inDoubt: '/v1/in-doubt',
} as const

/** What a coordinator asks for. */
export type ServiceOperation = keyof typeof SERVICE_PATHS

/** A request's or an answer's body, at most; a list of branches is longer. Bytes. */
export const BODY_BYTES_MAX = 16 * 1024
export const LIST_BYTES_MAX = 1024 * 1024
/** Branches in one answer to `in-doubt`, at most: those that are due first. The rest comes when these are settled. */
export const LISTED_MAX = 1_000

const test = (check: (text: string) => unknown) => (text: string) => {
  try {
    return check(text) !== undefined
  } catch {
    return false
  }
}

const txid = z.string().refine(test(parseTxid), 'expected a txid').meta({
  description: 'The transaction: a lower-case UUIDv7.',
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
})
const branch = z
  .int()
  .min(0)
  .max(BRANCHES_MAX - 1)
  .describe('Which branch of the transaction; from 0.')
const gid = z.string().refine(test(parseGid), 'expected a gid').meta({
  description:
    'cdt_<cluster>_<txid>_<branch>: cluster, transaction and branch as one text of at most 56 plain characters.',
  pattern: '^cdt_[A-Za-z0-9-]{1,12}_[0-9a-f-]{36}_[0-9]{1,2}$',
})
const cluster = z.string().refine(test(parseClusterId), 'expected a cluster id').meta({
  description: 'The fleet of coordinators that asks.',
  pattern: '^[A-Za-z0-9-]{1,12}$',
})
const participant = z.string().refine(isParticipantName, 'expected a name').meta({
  description: 'The name under which the coordinators know the service.',
  pattern: '^[A-Za-z0-9._-]{1,64}$',
})

const identity = { txid, branch, gid }
const question = { cluster, participant, ...identity }

/** PREPARE. */
export const prepareRequest = z
  .object({
    ...question,
    timeoutMs: z.int().min(0).describe('How long the transaction waits for its votes, at most. Milliseconds.'),
  })
  .meta({ description: 'Asks for the vote of one branch.' })

/** GLOBAL-COMMIT and GLOBAL-ABORT. */
export const decisionRequest = z
  .object(question)
  .meta({ description: 'Tells what was decided. It comes again until it is answered.' })

/** A vote. It repeats which branch it is for: an answer that names another one is no vote. */
export const voteAnswer = z
  .object({
    ...identity,
    vote: z
      .enum(['commit', 'abort', 'readOnly'])
      .describe(
        'commit: a durable promise that the branch can be committed whatever happens; abort: it can not, and the transaction will abort; readOnly: it changed nothing, and hears nothing more.',
      ),
  })
  .meta({ description: 'The vote. To the same question the same vote comes back, after a crash too.' })

/** ACK: the decision was carried out, now or before. */
export const committedAnswer = z
  .object({ ...identity, outcome: z.literal('committed') })
  .meta({ description: 'The branch is committed, durably: now, or it was before.' })
export const abortedAnswer = z
  .object({ ...identity, outcome: z.literal('aborted') })
  .meta({ description: 'Nothing of the branch is left, durably: now, or it was so before.' })

/** The branch ended otherwise than decided: an operator's hand, or a restored backup. */
export const contradictionAnswer = z
  .object({
    ...identity,
    code: z.literal('BRANCH_ENDED_OTHERWISE'),
    outcome: z.enum(['committed', 'aborted']).describe('How it ended here.'),
    message: z.string().optional(),
  })
  .meta({
    description:
      'The branch ended the other way before. Coordinators record it as heuristic and show it to operators. Only for a branch of which this is known.',
  })

/** Why nothing was done. */
export const problemAnswer = z.object({ code: z.string(), message: z.string() }).meta({
  description: 'Nothing was done, or it is not done yet. It is neither a vote nor an acknowledgement.',
})

/** One branch that has not ended. */
export const listedBranch = z
  .object({
    ...identity,
    state: z
      .enum(['joined', 'prepared', 'refused'])
      .describe('joined: work was set aside, no vote was given; prepared: voted commit; refused: voted abort.'),
    dueInMs: z
      .int()
      .min(0)
      .describe(
        'How long coordinators must still wait before they settle it: what is left of its transaction’s time and ten seconds more while it is joined, 0 once it voted.',
      ),
  })
  .meta({ description: 'A branch that has not ended.' })

/** What has not ended. */
export const inDoubtAnswer = z
  .object({
    participant,
    branches: z
      .array(listedBranch)
      .max(LISTED_MAX)
      .describe('Those that are due first come first; what is left out comes when these are settled.'),
  })
  .meta({ description: 'All branches of the cluster that have not ended here.' })

export type PrepareRequest = z.output<typeof prepareRequest>
export type DecisionRequest = z.output<typeof decisionRequest>
export type InDoubtAnswer = z.output<typeof inDoubtAnswer>
export type ListedBranch = z.output<typeof listedBranch>
