import { toError } from '../base/index.ts'
import { type Resource, resourceFromUrl } from '../resources/index.ts'
import type { ServerConfig } from './config.ts'
import { ConfigError } from './config-error.ts'

/**
 * The databases of the configuration, ready for the resolver. Nothing connects yet.
 *
 * @throws ConfigError when a URL's scheme does not fit its kind, DriverMissingError when a driver is not installed
 */
export async function openResources(resources: ServerConfig['resources']): Promise<readonly Resource<unknown>[]> {
  return await Promise.all(
    resources.map(async ({ name, kind, url, witness }) => {
      const resource = await resourceFromUrl(url, witness === undefined ? { name } : { name, witness })
      if (resource.kind === kind) return resource
      await resource.inDoubt.close()
      throw new ConfigError(
        `resource ${name}: its kind is ${kind}, but its URL is one of ${resource.kind}; make them fit`,
      )
    }),
  )
}

/** Says in the log what would make transactions fail on these databases. A database that is down is looked at later by the resolver. */
export async function reportFindings(
  resources: readonly Resource<unknown>[],
  logger: { warn(details: object, message: string): void; error(details: object, message: string): void },
): Promise<void> {
  await Promise.all(
    resources.map(async (resource) => {
      try {
        for (const { severity, what, message } of await resource.check()) {
          const details = { resource: resource.name, what }
          if (severity === 'fatal') logger.error(details, message)
          else logger.warn(details, message)
        }
      } catch (error) {
        logger.warn(
          { resource: resource.name, err: error },
          `${resource.name} could not be checked: ${toError(error).message}`,
        )
      }
    }),
  )
}
