// The values that the tests of hostile arguments pass to every method.

const circular: any = { name: 'a', path: '/a' }
circular.self = circular
let deep: any = {}
for (let levels = 0; levels < 10_000; levels++) deep = { name: 'a', path: '/a', deep }
const revoked = Proxy.revocable({}, {})
revoked.revoke()

/** Arguments that nobody should pass, each with a description. */
export const oddValues: [string, any][] = [
  ['undefined', undefined],
  ['null', null],
  ['true', true],
  ['0', 0],
  ['-0', -0],
  ['-1', -1],
  ['1.5', 1.5],
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['2^53', 2 ** 53],
  ['1e400 as text', '1e400'],
  ['a bigint', 10n],
  ['a huge bigint', 2n ** 100n],
  ['an empty text', ''],
  ['text', 'text'],
  ['a lone surrogate', '\ud800'],
  ['NUL', '\0'],
  ['a path upwards', '../../etc/passwd'],
  ['__proto__', '__proto__'],
  ['constructor', 'constructor'],
  ['hexadecimal', '0x10'],
  ['text with spaces', ' 5 '],
  ['a symbol', Symbol('s')],
  ['a function', () => 1],
  ['an array', [1, 2]],
  ['an empty object', {}],
  ['an object without prototype', Object.create(null)],
  ['a Date', new Date(0)],
  ['an invalid Date', new Date(NaN)],
  ['a Map', new Map([[1, 2]])],
  ['a Buffer', Buffer.from('text')],
  ['a promise', Promise.resolve(1)],
  ['a boxed number', Object(5)],
  ['a circular object', circular],
  ['an object 10,000 levels deep', deep],
  ['a revoked proxy', revoked.proxy],
  ['a proxy whose traps throw', new Proxy({}, { get: () => { throw new Error('trap') }, ownKeys: () => { throw new Error('trap') } })],
  ['a getter that throws', { get name() { throw new Error('getter') }, get id() { throw new Error('getter') } }],
  ['toString that throws', { toString() { throw new Error('toString') }, valueOf() { throw new Error('valueOf') } }],
  ['toJSON that throws', { name: 'a', path: '/a', toJSON() { throw new Error('toJSON') } }],
]

/** Whether an error is one of this package's with a code, or what the caller's own getter, trap or proxy threw. */
export const isFair = (error: any): boolean =>
  error instanceof Error &&
  (typeof (error as any).code === 'string' || /trap|getter|toString|valueOf|toJSON|proxy|revoked/i.test(error.message) || Array.isArray((error as any).issues))
