/** What ports the drivers take when a URL names none. */
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'postgres:': '5432', 'postgresql:': '5432' }
const MYSQL_PORT = '3306'

/** Where a database is: `host:port/database`, without user, password and options. Two that are equal are the same. */
export function placeOf(url: string): string {
  const { protocol, hostname, port, pathname } = new URL(url)
  return `${hostname}:${port === '' ? (DEFAULT_PORTS[protocol] ?? MYSQL_PORT) : port}${pathname}`
}
