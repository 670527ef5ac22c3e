// Whether answers to calls that overlapped can be explained by some order of the calls, each as if it ran alone.
import { isDeepStrictEqual } from 'node:util'
import type { Call } from './model.js'

/** Something that answers calls, and can be copied with its state. */
interface Model<M> {
  copy(): M
  answer(call: Call<any>, answer: any): unknown
}

/** A call that was made, and its answer. */
export interface Made<C extends Call<unknown> = Call<unknown>> {
  call: C
  answer: any
  /** Numbers that order the moments of all calls and answers. */
  began: number
  ended: number
  /** A write comes after those before it that have the same name here. */
  order?: string | undefined
}

const READS = new Set(['getById', 'list', 'readAll', 'query', 'count', 'iterate', 'content', 'findByName', 'findBy', 'findRange', 'getByPath', 'getByExtension', 'search', 'getVersions', 'listIndexes', 'queryRange', 'getIndexStats'])

export const isRead = ({ method }: Call<unknown>) => READS.has(method)

/** Returns a model of the state that the calls leave, in an order that explains all answers; undefined if there is none. */
export function explained<M extends Model<M>>(model: M, made: Made[]): M | undefined {
  const left = [...made]
  // What changes nothing may come as soon as it fits.
  for (let at = 0; at < left.length; at += 1) {
    const one = left[at]!
    const changesNothing = isRead(one.call) || one.answer?.refused !== undefined || one.call.args[1] === true
    if (!changesNothing || !mayBeNext(one, left) || after(model, one) === undefined) continue
    left.splice(at, 1)
    at = -1
  }
  if (left.length === 0) return model
  for (const one of left) {
    if (isRead(one.call) || one.answer?.refused !== undefined || !mayBeNext(one, left)) continue
    const next = after(model, one)
    const found = next && explained(next, left.filter((other) => other !== one))
    if (found !== undefined) return found
  }
  return undefined
}

/** Whether no other call must come before this one. */
function mayBeNext(one: Made, left: Made[]) {
  return left.every((other) => {
    if (other.ended < one.began) return false
    return other === one || other.began > one.began || one.order === undefined || other.order !== one.order
  })
}

/** Returns the model after a call; undefined if the answer is another than that of the model. */
function after<M extends Model<M>>(model: M, { call, answer }: Made): M | undefined {
  if (call.aborted !== undefined && answer?.refused === 'ABORTED') return model
  const next = model.copy()
  try {
    return isDeepStrictEqual(answer, next.answer(call, answer)) ? next : undefined
  } catch {
    // The answer has not even the form of an entity.
    return undefined
  }
}
