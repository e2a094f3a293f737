/** What each example does with its ORM, in PostgreSQL and in MySQL or MariaDB: a table `bookings (id int primary key, who varchar(40))`. */
export interface Bookings {
  /** Writes one row. */
  add(id: number, who: string): Promise<unknown>
  /** Writes one row in a transaction of the ORM's own, which `fail` leaves by throwing. */
  addNested(id: number, who: string, fail?: Error): Promise<unknown>
  /** Whose booking it is. */
  who(id: number): Promise<string | undefined>
  /** Closes the ORM. The pool is the caller's. */
  close(): Promise<unknown>
}
