import { toError } from '../base/index.ts'
import { askServices, type ServerConfig, type ServiceAnswer } from '../server/index.ts'
import { type Finding, Findings } from './finding.ts'

/** Checks the services that the coordinators call at URLs, from this machine. Those that connect by themselves: see the fleet. */
export async function checkServices(config: ServerConfig): Promise<readonly Finding[]> {
  const settings = config.participants.filter(({ url }) => url.length > 0).flatMap(checkSettings)
  try {
    return [...settings, ...(await askServices(config)).flatMap(checkAnswer)]
  } catch (error) {
    const findings = new Findings('services')
    findings.error('serviceCa', toError(error).message, 'Correct the path, or the rights of the file.')
    return [...settings, ...findings.found]
  }
}

function checkSettings({ name, secret, token, plainHttp }: ServerConfig['participants'][number]): readonly Finding[] {
  const findings = new Findings(`service ${name}`)
  if (secret === undefined && token === undefined)
    findings.warning(
      'serviceOpen',
      'Its questions carry neither a signature nor a token: whoever reaches its port can decide its branches.',
      'Give it secret or token, unless nobody else reaches the port.',
    )
  if (plainHttp)
    findings.warning(
      'servicePlain',
      'Its votes and decisions go over http:// to another machine: whoever is on the way can change them.',
      'Use https:// and take plainHttp out, unless that network is trusted.',
    )
  return findings.found
}

function checkAnswer({ label, url, due, error }: ServiceAnswer): readonly Finding[] {
  const findings = new Findings(`service ${label}`)
  if (error !== undefined)
    findings.error(
      'serviceNoAnswer',
      `${url}: ${error}. Without its answer there is no vote, so transactions that need it abort at their deadline.`,
      'Is it running, do URL and path lead to it, has it the same cluster, name and secret or token, and do the clocks agree? See docs/http-services.md.',
    )
  else if (due === 0) findings.ok('serviceAnswers', `It answers at ${url}, and nothing is due there.`)
  else
    findings.ok(
      'serviceAnswers',
      `It answers at ${url}; ${due === 1 ? 'a branch is' : `${due} branches are`} to be settled there.`,
    )
  return findings.found
}
