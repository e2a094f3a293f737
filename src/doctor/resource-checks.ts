import { toError } from '../base/index.ts'
import { type Resource, resourceFromUrl } from '../resources/index.ts'
import type { ServerConfig } from '../server/index.ts'
import { type Finding, Findings } from './finding.ts'

/** Checks every database of the configuration, from this machine. */
export async function checkResources({ resources, participants }: ServerConfig): Promise<readonly Finding[]> {
  // A fleet of services alone, which the coordinators call, needs none.
  if (resources.length === 0 && !participants.some(({ url }) => url.length > 0)) {
    const findings = new Findings('databases')
    findings.error(
      'noResources',
      'No databases are configured: nobody settles the branches that an application leaves in doubt, and their locks stay.',
      'Name in resources every database that applications enlist, on every coordinator.',
    )
    return findings.found
  }
  return (await Promise.all(resources.map(checkResource))).flat()
}

async function checkResource({ name, kind, url }: ServerConfig['resources'][number]): Promise<readonly Finding[]> {
  const findings = new Findings(`database ${name}`)
  let resource: Resource<unknown> | undefined
  try {
    resource = await resourceFromUrl(url, { name })
    if (resource.kind !== kind) {
      const advice = 'Make kind and url fit: no coordinator starts with them.'
      findings.error('wrongKind', `Its kind is ${kind}, but its URL is one of ${resource.kind}.`, advice)
    } else {
      for (const { level, what, message, advice } of (await resource.inspection?.examine()) ?? [])
        findings.add(level, what, message, advice)
    }
  } catch (error) {
    findings.error('driver', toError(error).message, 'Install the driver that it names on this machine.')
  } finally {
    await resource?.inDoubt.close()
  }
  return findings.found
}
