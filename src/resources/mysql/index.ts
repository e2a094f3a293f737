/** `concordat/mysql`: MariaDB and MySQL databases as participants. */
export { mysqlFromUrl, mysqlInDoubtFromUrl } from './from-url.ts'
export { type MysqlDatabase, type MysqlOptions, type MysqlPool, type MysqlSession, mysql } from './mysql.ts'
