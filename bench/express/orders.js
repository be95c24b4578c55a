// The write side and the read side: an aggregate rebuilt from its events, an event store and projections, in memory.

import { randomUUID } from 'node:crypto';

export class HttpError extends Error {
  constructor(status, message, details) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

// --- the write side ---------------------------------------------------------------------------------------------------

export class EventStore {
  #streams = new Map();

  async append(streamId, events, expectedVersion) {
    const stream = this.#streams.get(streamId) ?? [];
    if (stream.length !== expectedVersion) {
      throw new HttpError(409, `${streamId} is at version ${stream.length}, not ${expectedVersion}`);
    }
    stream.push(...events);
    this.#streams.set(streamId, stream);
  }

  async read(streamId) {
    return this.#streams.get(streamId) ?? [];
  }
}

export class EventPublisher {
  #handlers = new Map();

  subscribe(type, handler) {
    this.#handlers.set(type, [...(this.#handlers.get(type) ?? []), handler]);
  }

  async publish(events) {
    for (const event of events) {
      for (const handler of this.#handlers.get(event.type) ?? []) await handler(event);
    }
  }
}

export const TRANSITIONS = {
  pending: ['confirmed', 'cancelled'],
  confirmed: ['shipped', 'cancelled'],
  shipped: ['delivered'],
  delivered: [],
  cancelled: [],
};

export class Order {
  version = 0;
  uncommitted = [];

  static create(orderId, { customerId, items, shippingAddress }) {
    const order = new Order();
    const totalAmount = items.reduce((sum, item) => sum + item.price * item.quantity, 0);
    order.#raise('OrderCreated', { orderId, customerId, items, shippingAddress, totalAmount, currency: 'USD' });
    return order;
  }

  static fromEvents(events) {
    const order = new Order();
    for (const event of events) order.#apply(event);
    return order;
  }

  updateStatus(newStatus, reason) {
    this.#check(newStatus);
    this.#raise('OrderStatusUpdated', { orderId: this.id, previousStatus: this.status, newStatus, reason });
  }

  cancel(reason) {
    this.#check('cancelled');
    this.#raise('OrderCancelled', { orderId: this.id, previousStatus: this.status, reason });
  }

  #check(newStatus) {
    if (!TRANSITIONS[this.status].includes(newStatus)) {
      throw new HttpError(409, `Order cannot go from ${this.status} to ${newStatus}`);
    }
  }

  #raise(type, data) {
    const event = { eventId: randomUUID(), type, version: this.version + 1, timestamp: new Date(), data };
    this.#apply(event);
    this.uncommitted.push(event);
  }

  #apply({ type, version, data }) {
    switch (type) {
      case 'OrderCreated':
        this.id = data.orderId;
        this.customerId = data.customerId;
        this.items = data.items;
        this.status = 'pending';
        break;
      case 'OrderStatusUpdated':
        this.status = data.newStatus;
        break;
      case 'OrderCancelled':
        this.status = 'cancelled';
        break;
    }
    this.version = version;
  }
}

export class OrderRepository {
  constructor(eventStore, eventPublisher) {
    this.eventStore = eventStore;
    this.eventPublisher = eventPublisher;
  }

  async load(orderId) {
    const events = await this.eventStore.read(`order-${orderId}`);
    if (events.length === 0) throw new HttpError(404, 'Order not found');
    return Order.fromEvents(events);
  }

  async save(order) {
    const events = order.uncommitted;
    await this.eventStore.append(`order-${order.id}`, events, order.version - events.length);
    order.uncommitted = [];
    await this.eventPublisher.publish(events);
  }
}

// --- the read side ----------------------------------------------------------------------------------------------------

export class OrderReadRepository {
  #orders = new Map();

  async save(order) {
    this.#orders.set(order.orderId, order);
  }

  async findById(orderId) {
    return this.#orders.get(orderId) ?? null;
  }

  async findByCustomer(customerId, { page, limit, status }) {
    const found = [...this.#orders.values()]
      .filter((order) => order.customerId === customerId && (!status || order.status === status))
      .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
    const start = (page - 1) * limit;
    return {
      orders: found.slice(start, start + limit),
      total: found.length,
      page,
      totalPages: Math.ceil(found.length / limit),
    };
  }
}

export class OrderProjection {
  constructor(readRepository, eventPublisher) {
    this.readRepository = readRepository;
    eventPublisher.subscribe('OrderCreated', (event) => this.onCreated(event));
    eventPublisher.subscribe('OrderStatusUpdated', (event) =>
      this.onChanged(event, event.data.newStatus, event.data.reason ?? 'Status updated'));
    eventPublisher.subscribe('OrderCancelled', (event) =>
      this.onChanged(event, 'cancelled', event.data.reason ?? 'Order cancelled'));
  }

  async onCreated({ data, timestamp, version }) {
    await this.readRepository.save({
      ...data,
      items: data.items.map((item) => ({ ...item, subtotal: item.price * item.quantity })),
      itemCount: data.items.length,
      status: 'pending',
      statusHistory: [{ status: 'pending', timestamp, reason: 'Order created' }],
      createdAt: timestamp,
      updatedAt: timestamp,
      version,
    });
  }

  async onChanged({ data, timestamp, version }, status, reason) {
    const order = await this.readRepository.findById(data.orderId);
    const statusHistory = [...order.statusHistory, { status, timestamp, reason }];
    await this.readRepository.save({ ...order, status, statusHistory, updatedAt: timestamp, version });
  }
}

export class DashboardProjection {
  dashboard = { totalOrders: 0, totalRevenue: 0, ordersByStatus: {} };

  constructor(eventPublisher) {
    eventPublisher.subscribe('OrderCreated', async ({ data }) => {
      this.dashboard.totalOrders += 1;
      this.dashboard.totalRevenue += data.totalAmount;
      this.#count('pending', 1);
    });
    eventPublisher.subscribe('OrderStatusUpdated', async ({ data }) => this.#move(data.previousStatus, data.newStatus));
    eventPublisher.subscribe('OrderCancelled', async ({ data }) => this.#move(data.previousStatus, 'cancelled'));
  }

  #move(previous, next) {
    this.#count(previous, -1);
    this.#count(next, 1);
  }

  #count(status, change) {
    this.dashboard.ordersByStatus[status] = (this.dashboard.ordersByStatus[status] ?? 0) + change;
  }
}
