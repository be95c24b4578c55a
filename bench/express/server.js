// The order service as guides to CQRS build it on Express: buses, an aggregate rebuilt from its events, an event store
// and projections, all in memory. It is what `bench/service.py` compares with, so it is written as one would write it:
// nothing is slowed down and nothing is tuned. What is acknowledged here is lost with the process.

import { randomUUID } from 'node:crypto';
import express from 'express';
import {
  DashboardProjection, EventPublisher, EventStore, HttpError, Order, OrderProjection, OrderReadRepository,
  OrderRepository, TRANSITIONS,
} from './orders.js';

// --- buses and handlers -----------------------------------------------------------------------------------------------

class Bus {
  #handlers = new Map();

  register(type, handler) {
    this.#handlers.set(type, handler);
  }

  async execute(message) {
    const handler = this.#handlers.get(message.type);
    if (!handler) throw new Error(`No handler for ${message.type}`);
    return handler(message);
  }
}

const publisher = new EventPublisher();
const repository = new OrderRepository(new EventStore(), publisher);
const readRepository = new OrderReadRepository();
new OrderProjection(readRepository, publisher);
const dashboards = new DashboardProjection(publisher);

const commands = new Bus();
commands.register('CreateOrder', async ({ orderId, order }) => {
  await repository.save(Order.create(orderId, order));
});
commands.register('UpdateOrderStatus', async ({ orderId, status, reason }) => {
  const order = await repository.load(orderId);
  order.updateStatus(status, reason);
  await repository.save(order);
});
commands.register('CancelOrder', async ({ orderId, reason }) => {
  const order = await repository.load(orderId);
  order.cancel(reason);
  await repository.save(order);
});

const queries = new Bus();
queries.register('GetOrder', ({ orderId }) => readRepository.findById(orderId));
queries.register('GetOrdersByCustomer', ({ customerId, ...options }) =>
  readRepository.findByCustomer(customerId, options));
queries.register('GetDashboard', async () => dashboards.dashboard);

// --- HTTP -------------------------------------------------------------------------------------------------------------

function validateOrder({ customerId, items, shippingAddress } = {}) {
  const errors = [];
  if (!customerId || typeof customerId !== 'string') errors.push('Customer ID is required');
  if (!Array.isArray(items) || items.length === 0) errors.push('Order must have at least one item');
  else {
    items.forEach((item, index) => {
      if (!item.productId) errors.push(`Item ${index}: Product ID is required`);
      if (!Number.isInteger(item.quantity) || item.quantity < 1) errors.push(`Item ${index}: Quantity must be at least 1`);
      if (typeof item.price !== 'number' || item.price <= 0) errors.push(`Item ${index}: Price must be positive`);
    });
  }
  if (!shippingAddress) errors.push('Shipping address is required');
  if (errors.length > 0) throw new HttpError(400, 'Validation failed', errors);
}

const app = express();
app.use(express.json());

app.post('/orders', async (req, res) => {
  validateOrder(req.body);
  const orderId = randomUUID();
  await commands.execute({ type: 'CreateOrder', orderId, order: req.body });
  res.status(201).json({ orderId });
});

app.patch('/orders/:id/status', async (req, res) => {
  const { status, reason } = req.body ?? {};
  if (!Object.hasOwn(TRANSITIONS, status)) throw new HttpError(400, 'Status is not valid');
  await commands.execute({ type: 'UpdateOrderStatus', orderId: req.params.id, status, reason });
  res.json({ orderId: req.params.id, status });
});

app.post('/orders/:id/cancel', async (req, res) => {
  await commands.execute({ type: 'CancelOrder', orderId: req.params.id, reason: req.body?.reason });
  res.json({ orderId: req.params.id, status: 'cancelled' });
});

app.get('/orders/:id', async (req, res) => {
  const order = await queries.execute({ type: 'GetOrder', orderId: req.params.id });
  if (!order) throw new HttpError(404, 'Order not found');
  res.json(order);
});

app.get('/customers/:customerId/orders', async (req, res) => {
  const page = Number.parseInt(req.query.page, 10) || 1;
  const limit = Number.parseInt(req.query.limit, 10) || 20;
  const { customerId } = req.params;
  res.json(await queries.execute({ type: 'GetOrdersByCustomer', customerId, page, limit, status: req.query.status }));
});

app.get('/dashboard', async (req, res) => {
  res.json(await queries.execute({ type: 'GetDashboard' }));
});

app.use((error, req, res, next) => {
  if (res.headersSent) return next(error);
  res.status(error.status ?? 500).json({ error: error.message, details: error.details });
});

app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
