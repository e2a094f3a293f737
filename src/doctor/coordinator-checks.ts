import type { NodeStatus } from '../server/index.ts'
import type { CoordinatorAnswer } from './coordinator-answer.ts'
import { type Finding, Findings } from './finding.ts'

/** People read times side by side; beyond this they are misled. */
const SKEW_WARNING_MS = 5_000
/** Txids are refused when they seem to be an hour old or ahead: this leaves clients a part of that hour. */
const SKEW_ERROR_MS = 600_000
/** A branch that is in doubt for longer has no ordinary reason. */
const DOUBT_WARNING_MS = 60_000

/** What one coordinator says of itself. */
export function checkCoordinator(answer: CoordinatorAnswer, cluster: string): readonly Finding[] {
  const { address, status } = answer
  if (status === undefined) return [silence(answer)]
  const findings = new Findings(`coordinator ${status.node}`)
  if (status.cluster !== cluster) {
    findings.error(
      'wrongCluster',
      `${address} is a coordinator of cluster ${status.cluster}, and the configuration says ${cluster}.`,
      'Correct the members or the cluster in the configuration.',
    )
    return findings.found
  }
  if (status.removed)
    findings.error(
      'removed',
      `It answers at ${address}, but was removed from the fleet.`,
      'Stop it for good, and take it out of the configuration.',
    )
  else findings.ok('answers', `It answers at ${address}: ${status.role}, release ${status.version}.`)
  checkClock(answer, status, findings)
  checkConnections(status, findings)
  checkLog(status, findings)
  checkDatabases(status, findings)
  return findings.found
}

function silence({ address, error }: CoordinatorAnswer): Finding {
  return {
    subject: `coordinator at ${address}`,
    level: 'error',
    what: 'noAnswer',
    message: error ?? '',
    advice:
      'Is it running, does a firewall let this port through, do its certificates fit? If it is gone for good: docs/operating/replace-a-node.md.',
  }
}

/** The answer was made some time between the question and its arrival. */
function checkClock({ askedMs, answeredMs }: CoordinatorAnswer, { wallMs }: NodeStatus, findings: Findings): void {
  if (wallMs === undefined) return
  const skewMs = wallMs > answeredMs ? wallMs - answeredMs : Math.min(0, wallMs - askedMs)
  const seconds = Math.round(Math.abs(skewMs) / 1_000)
  const what = `Its clock is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's`
  const advice = 'Synchronise the clocks of all machines (NTP).'
  if (Math.abs(skewMs) >= SKEW_ERROR_MS)
    findings.error(
      'clock',
      `${what}: transactions of clients are refused as too old or too new (TXN_TOO_OLD, TXN_TOO_NEW).`,
      advice,
    )
  else if (Math.abs(skewMs) >= SKEW_WARNING_MS)
    findings.warning(
      'clock',
      `${what}: ages and times do not fit together; from an hour on transactions are refused.`,
      advice,
    )
  else findings.ok('clock', "Its clock agrees with this machine's.")
}

/** From where it stands: a port may be open from here and shut from there. */
function checkConnections({ node, members, removed }: NodeStatus, findings: Findings): void {
  if (removed) return
  const cut = members.filter((member) => member.node !== node && !member.connected)
  if (cut.length === 0) return
  const names = cut.map((member) => `${member.node} (${member.address})`).join(', ')
  findings.warning(
    'notConnected',
    `It has no connection with node ${names}.`,
    'Is that node running, and is its port open from this one? Look at the log of this one.',
  )
}

function checkLog({ log }: NodeStatus, findings: Findings): void {
  if (log.spaceLow)
    findings.error(
      'diskFull',
      'Only the room reserved for decisions is left on its disk.',
      'Make room: docs/operating/slow-or-full-disk.md.',
    )
}

/** What it says of its databases: the way from there may be another than from here. */
function checkDatabases({ resources, serving }: NodeStatus, findings: Findings): void {
  for (const { name, error, inDoubt, oldestMs } of resources) {
    if (error !== undefined)
      findings.error(
        'databaseError',
        `It can’t work with ${name}: ${error}`,
        'Mend it as the finding of that database says, if there is one; otherwise look at the way from that machine to the database.',
      )
    else if (serving && oldestMs !== undefined && oldestMs > DOUBT_WARNING_MS)
      findings.warning(
        'longInDoubt',
        `In ${name} ${inDoubt === 1 ? 'a branch has' : `${inDoubt} branches have`} been in doubt for ${Math.round(oldestMs / 1_000)} s${inDoubt === 1 ? '' : ' at most'}.`,
        'See why and what they block: concordat in-doubt.',
      )
  }
}
