import { ResourceMisconfiguredError } from './errors.ts'
import { mysqlFromUrl } from './mysql/index.ts'
import { postgresFromUrl } from './postgres/index.ts'
import type { Resource } from './resource.ts'

/** What a configuration says about a database. */
export interface ResourceFromUrlOptions {
  readonly name: string
  /** MySQL and MariaDB only; see MysqlOptions. */
  readonly witness?: boolean | string
}

/**
 * A database by URL with a small pool of its own: what coordinators' resolvers and `check` use. Connects lazily;
 * `inDoubt.close()` closes the pool.
 *
 * @throws ResourceMisconfiguredError when the URL's scheme is none of postgres, postgresql, mysql, mariadb
 * @throws DriverMissingError when the driver is not installed
 */
export async function resourceFromUrl(url: string, options: ResourceFromUrlOptions): Promise<Resource<unknown>> {
  const scheme = /^(\w+):/.exec(url)?.[1]
  switch (scheme) {
    case 'postgres':
    case 'postgresql':
      return postgresFromUrl(url, { name: options.name })
    case 'mysql':
    case 'mariadb':
      return mysqlFromUrl(url, options)
    default:
      // The URL itself may hold a password, so it is not repeated.
      throw new ResourceMisconfiguredError(
        options.name,
        `the scheme of its URL is ${JSON.stringify(scheme ?? '')}; use postgres:// or mysql:// (mariadb:// too).`,
      )
  }
}
