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
