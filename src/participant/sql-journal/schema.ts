/** The version of the tables; it stands in their one row of `…_meta`. A release refuses what is newer. */
export const SCHEMA_VERSION = 1
export const DEFAULT_TABLE = 'concordat_journal'
/** Room for `_meta` and the names of indexes within 63 characters (PostgreSQL) and 64 (MySQL). */
const TABLE = /^(?:[a-z_]\w{0,62}\.)?[a-z_]\w{0,47}$/i

/** The names of a journal's tables, quoted for their database. */
export interface TableNames {
  readonly table: string
  readonly meta: string
  /** For the index. */
  readonly plain: string
}

export function isTableName(name: unknown): name is string {
  return typeof name === 'string' && TABLE.test(name)
}

/** @param name a plain one, or with a schema: `app.journal` */
export function tableNames(name: string, quote: '"' | '`'): TableNames {
  const quoted = (text: string): string =>
    text
      .split('.')
      .map((part) => `${quote}${part}${quote}`)
      .join('.')
  return { table: quoted(name), meta: quoted(`${name}_meta`), plain: name.split('.').at(-1) ?? name }
}

/** What makes the tables in PostgreSQL. Repeating them does no harm. */
export function postgresSchema({ table, meta, plain }: TableNames): readonly string[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (
  gid text COLLATE "C" PRIMARY KEY,
  participant text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL,
  txid_ms bigint NOT NULL,
  due_ms bigint NOT NULL,
  changed_ms bigint NOT NULL
)`,
    `CREATE INDEX IF NOT EXISTS "${plain}_by_state" ON ${table} (participant, state, changed_ms)`,
    `CREATE TABLE IF NOT EXISTS ${meta} (
  one smallint PRIMARY KEY CHECK (one = 1),
  version integer NOT NULL,
  forgotten_ms bigint NOT NULL
)`,
    `INSERT INTO ${meta} VALUES (1, ${SCHEMA_VERSION}, 0) ON CONFLICT DO NOTHING`,
  ]
}

/** The same in MySQL and MariaDB. */
export function mysqlSchema({ table, meta, plain }: TableNames): readonly string[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  participant VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  txid_ms BIGINT NOT NULL,
  due_ms BIGINT NOT NULL,
  changed_ms BIGINT NOT NULL,
  KEY \`${plain}_by_state\` (participant, state, changed_ms)
) ENGINE=InnoDB`,
    `CREATE TABLE IF NOT EXISTS ${meta} (
  one TINYINT NOT NULL PRIMARY KEY,
  version INT NOT NULL,
  forgotten_ms BIGINT NOT NULL
) ENGINE=InnoDB`,
    `INSERT IGNORE INTO ${meta} VALUES (1, ${SCHEMA_VERSION}, 0)`,
  ]
}
