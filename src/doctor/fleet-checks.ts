import type { ConfiguredResource, NodeStatus, ServerConfig } from '../server/index.ts'
import type { CoordinatorAnswer } from './coordinator-answer.ts'
import { type Finding, Findings } from './finding.ts'

type Named = Pick<ConfiguredResource, 'name' | 'kind' | 'place'>

/** What only shows when the coordinators are seen side by side. */
export function checkFleet(answers: readonly CoordinatorAnswer[], config: ServerConfig): readonly Finding[] {
  const findings = new Findings('fleet')
  const heard = answers.flatMap(({ status }) => status ?? [])
  const present = heard.filter(({ removed, cluster }) => !removed && cluster === config.cluster)
  if (present.length === 0) {
    findings.error(
      'noQuorum',
      'No coordinator answers: nothing can be decided.',
      'Start them. If they are lost: docs/operating/lost-majority.md.',
    )
    return findings.found
  }
  checkLeader(present, findings)
  checkQuorum(present, findings)
  checkMembers(present, config, findings)
  checkReleases(present, findings)
  checkSameResources(present, findings)
  checkParticipants(present, findings)
  checkLeftovers(present, findings)
  return findings.found
}

function checkLeader(present: readonly NodeStatus[], findings: Findings): void {
  const leader = present.find(({ serving }) => serving)
  if (leader === undefined)
    findings.error(
      'noLeader',
      'No coordinator that answers leads: nothing can be decided now.',
      'Ask again: an election takes less than a second. If it stays so, a majority is not there.',
    )
  else findings.ok('leader', `Node ${leader.node} leads, term ${leader.term}.`)
}

function checkQuorum(present: readonly NodeStatus[], findings: Findings): void {
  const members = newest(present).members
  const voters = members.filter(({ role }) => role !== 'learner')
  const answering = voters.filter(({ node }) => present.some((each) => each.node === node)).length
  const majority = Math.floor(voters.length / 2) + 1
  const what = `${answering} of ${voters.length} voters answer, a majority is ${majority}`
  if (answering < majority)
    findings.error(
      'noQuorum',
      `${what}: nothing can be decided.`,
      'Start the others. If a majority is lost for good: docs/operating/lost-majority.md.',
    )
  else if (answering < voters.length)
    findings.warning(
      'votersMissing',
      `${what}: ${answering === majority ? 'the next loss stops everything' : 'there is less to spare than there should be'}.`,
      'Bring them back, or replace them: docs/operating/replace-a-node.md.',
    )
  else if (voters.length < 3)
    findings.warning(
      'noSpareVoter',
      `${what}: the loss of one stops everything.`,
      'Run three: docs/operating/grow-and-shrink.md.',
    )
  else findings.ok('quorum', `${what}.`)
  if (voters.length >= 4 && voters.length % 2 === 0)
    findings.warning(
      'evenVoters',
      `${voters.length} voters survive the loss of no more than ${voters.length - 1} would, and decide more slowly.`,
      'Make it an odd number.',
    )
}

/** A file that names other members is harmless until somebody starts a new fleet, or this command, with it. */
function checkMembers(present: readonly NodeStatus[], { members, node }: ServerConfig, findings: Findings): void {
  const known = newest(present).members.map((each) => `${each.node}=${each.address}`)
  const written = members.map(({ id, address }) => `${id}=${address}`)
  const missing = known.filter((each) => !written.includes(each))
  const extra = written.filter((each) => !known.includes(each))
  if (missing.length + extra.length > 0)
    findings.warning(
      'membersDiffer',
      `The configuration and the fleet name different members${missing.length > 0 ? `; only the fleet: ${missing.join(', ')}` : ''}${extra.length > 0 ? `; only the configuration: ${extra.join(', ')}` : ''}.`,
      'The fleet is right (concordat members list); write it into the files, for commands and new nodes that read them.',
    )
  else if (!newest(present).members.some((each) => each.node === node))
    findings.warning('notMember', `Node ${node} of this configuration is no member.`, 'Add it: concordat members add.')
  else findings.ok('members', `The configuration names the members of the fleet: ${written.join(', ')}.`)
}

function checkReleases(present: readonly NodeStatus[], findings: Findings): void {
  const releases = [...new Set(present.map(({ version }) => version))]
  if (releases.length > 1)
    findings.warning(
      'mixedReleases',
      `The coordinators run different releases: ${releases.join(', ')}.`,
      'Fine amid an upgrade; finish it.',
    )
}

function checkSameResources(present: readonly NodeStatus[], findings: Findings): void {
  const telling = present.filter(({ configured }) => configured !== undefined)
  const silent = present.filter(({ configured }) => configured === undefined)
  if (silent.length > 0)
    findings.warning(
      'resourcesUntold',
      `Node ${silent.map(({ node }) => node).join(', ')} does not tell which databases it is configured with: it runs an older release.`,
      'Compare resources in their configurations by hand, or upgrade them.',
    )
  const names = new Set(telling.flatMap(({ configured = [] }) => configured.map(({ name }) => name)))
  const before = findings.found.length
  for (const name of names) checkSameResource(name, telling, findings)
  if (findings.found.length === before && silent.length === 0 && names.size > 0)
    findings.ok('sameResources', `Every coordinator is configured with the same databases: ${[...names].join(', ')}.`)
}

function checkSameResource(name: string, telling: readonly NodeStatus[], findings: Findings): void {
  const named = telling.map(({ node, configured = [] }) => ({
    node,
    found: configured.find((each) => each.name === name),
  }))
  const lacking = named.filter(({ found }) => found === undefined).map(({ node }) => node)
  if (lacking.length > 0)
    findings.error(
      'resourceMissing',
      `Database ${name} is not configured on node ${lacking.join(', ')}: while it leads, nobody settles what is in doubt there.`,
      'Give every coordinator the same resources, and restart it.',
    )
  const places = byPlace(named)
  if (places.size > 1)
    findings.warning(
      'resourcesDiffer',
      `Database ${name} is not the same everywhere: ${[...places].map(([place, nodes]) => `${place} on node ${nodes.join(', ')}`).join('; ')}.`,
      'Fine when these are names of one server. Otherwise correct the URL, or branches are looked for in the wrong place.',
    )
}

function byPlace(
  named: readonly { readonly node: number; readonly found: Named | undefined }[],
): Map<string, number[]> {
  const places = new Map<string, number[]>()
  for (const { node, found } of named) {
    if (found === undefined) continue
    const place = `${found.kind} ${found.place}`
    places.set(place, [...(places.get(place) ?? []), node])
  }
  return places
}

/** Only the leader asks for votes: who is connected to it counts. */
function checkParticipants(present: readonly NodeStatus[], findings: Findings): void {
  const leader = present.find(({ serving }) => serving)
  const absent = leader?.participants?.filter(({ instances }) => instances === 0).map(({ name }) => name) ?? []
  if (absent.length > 0)
    findings.warning(
      'noInstance',
      `No instance of ${absent.join(', ')} is connected to the leader: transactions that need its vote wait for one until their deadline, and abort.`,
      'Start it, or look at its log: does it reach every coordinator, and do its certificates fit?',
    )
}

/** What waits for an operator. */
function checkLeftovers(present: readonly NodeStatus[], findings: Findings): void {
  const { transactions, guard } = newest(present)
  const { settlements = 0 } = transactions
  if (transactions.heuristics > 0)
    findings.warning(
      'heuristics',
      `${transactions.heuristics} branches ended otherwise than decided, or nobody can tell.`,
      'See which: concordat list --state heuristic.',
    )
  if (settlements > 0)
    findings.warning(
      'settlements',
      `${settlements === 1 ? 'A branch was' : `${settlements} branches were`} ended by hand and not as decided, and nobody has acknowledged that.`,
      'See which: concordat in-doubt. Then: docs/operating/settle.md.',
    )
  if (guard !== undefined)
    findings.warning(
      'guard',
      'A part of the log was lost, and some transactions are not decided since.',
      'See: concordat guard.',
    )
}

/** The leader that serves, or who is furthest. */
function newest(present: readonly NodeStatus[]): NodeStatus {
  const [first, ...others] = present as [NodeStatus, ...NodeStatus[]]
  const rank = ({ serving, term, lastApplied }: NodeStatus): readonly number[] => [serving ? 1 : 0, term, lastApplied]
  return others.reduce((best, each) => (isAhead(rank(each), rank(best)) ? each : best), first)
}

function isAhead(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index])
  return at >= 0 && a[at]! > b[at]!
}
